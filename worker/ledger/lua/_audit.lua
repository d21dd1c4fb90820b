-- The audit: what operators did, one entry an act. Written by the move that does it, so no act is without its entry,
-- and a move that is repeated under its number writes none. An act of thousands is several moves under one id: the
-- first writes the entry, each adds to its counts, so an act that was interrupted shows what was done of it.
--   audit         zset    ids of acts; score: when it began
--   audit:<id>    hash    act, at, last (when its last part was done), job (the first ref), n:<result> (how many),
--                         and what was said: by, why, of, run, user (HMAC), cap
local SAID = { 'act', 'by', 'why', 'of', 'run', 'user', 'cap' }

-- act: {id, and SAID}, or nil where time did it and no person; results: a list of words, one a deletion or switch.
local function audit(now, act, results, first)
  if not act then return end
  local k = K.audit_entry .. act.id
  if redis.call('EXISTS', k) == 0 then
    local entry = { 'at', ms(now) }
    for _, name in ipairs(SAID) do
      if act[name] then
        entry[#entry + 1] = name
        entry[#entry + 1] = act[name]
      end
    end
    if first then
      entry[#entry + 1] = 'job'
      entry[#entry + 1] = first
    end
    redis.call('HSET', k, unpack(entry))
    redis.call('ZADD', K.audit, ms(now), act.id)
  end
  redis.call('HSET', k, 'last', ms(now))
  local counts = {}
  for _, result in ipairs(results) do counts[result] = (counts[result] or 0) + 1 end
  for result, number in pairs(counts) do redis.call('HINCRBY', k, 'n:' .. result, number) end
end
