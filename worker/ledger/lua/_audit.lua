-- The audit: what operators did, one entry an act. The move that does it writes the entry, so no act is without one,
-- and a move that is repeated under its number writes none. An act of thousands is several moves under one id: the
-- first writes the entry, each adds to its counts, so an act that was interrupted shows what was done of it.
--   audit         zset    ids of acts; score: when it began
--   audit:<id>    hash    act, at, last (when its last part was done), job (the first ref), n:<result> (how many),
--                         and FACTS: by, why, of, run, user (HMAC), cap, http (the id of the HTTP request)
local FACTS = { 'act', 'by', 'why', 'of', 'run', 'user', 'cap', 'http' }

-- options.act: {id, and FACTS}; none where time did it and no person. counts: result -> how many deletions or switches.
local function audit(now, counts)
  local act = options.act
  if not act then return end
  local k = K.audit_entry .. act.id
  if redis.call('EXISTS', k) == 0 then
    local entry = { 'at', ms(now) }
    for _, name in ipairs(FACTS) do
      if act[name] then entry[#entry + 1], entry[#entry + 2] = name, act[name] end
    end
    if ARGV[4] then entry[#entry + 1], entry[#entry + 2] = 'job', ARGV[4] end
    redis.call('HSET', k, unpack(entry))
    redis.call('ZADD', K.audit, ms(now), act.id)
  end
  redis.call('HSET', k, 'last', ms(now))
  for result, number in pairs(counts) do redis.call('HINCRBY', k, 'n:' .. result, number) end
end

-- An act on each ref that came along; see each_ref() in _once.lua. Returns what became of each.
local function act_on_each(move, now)
  local results, counts = each_ref(move, now)
  audit(now, counts)
  return results
end
