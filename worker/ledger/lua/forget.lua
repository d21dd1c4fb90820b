-- forget: records whose keeping time is over leave Redis, and so do entries of the audit. Dead letters never do.
--         Discarded ones stay while they can be restored, and forget their app user when they can be no more.
--   KEYS[1]  the account's prefix
--   ARGV     caller, operation number, options (JSON: keep (ms), restorable (ms), limit: of all together)
--   returns  {"now", "forgotten": how many records, entries and app users}
--include _clock
--include _account
--include _drains
--include _once
--include _counters
local options = cjson.decode(ARGV[3])

-- The app user stands in the record because the header needs it: for a call that can come no more it has to go.
local function forget_users(now, most)
  local over = '(' .. ms(now - options.restorable)
  local refs = redis.call('ZRANGEBYSCORE', P .. 'discarded:users', '-inf', over, 'LIMIT', 0, most)
  for _, ref in ipairs(refs) do
    redis.call('ZREM', P .. 'discarded:users', ref)
    if redis.call('HGET', record(ref), 'state') == 'discarded' then redis.call('HDEL', record(ref), 'user', 'au', 'owner') end
  end
  return #refs
end

return once(ARGV[1], ARGV[2], function()
  local now, forgotten = clock(), 0
  for _, state in ipairs({ 'deleted', 'gone', 'cancelled', 'discarded' }) do
    local keep = state == 'discarded' and math.max(options.keep, options.restorable) or options.keep
    local old = redis.call('ZRANGEBYSCORE', P .. state, '-inf', ms(now - keep), 'LIMIT', 0, options.limit - forgotten)
    for _, ref in ipairs(old) do
      redis.call('ZREM', P .. state, ref)
      redis.call('DEL', record(ref))
      forgotten = forgotten + 1
    end
  end
  if forgotten > 0 then count('deletion.forgotten', forgotten) end
  local left = options.limit - forgotten
  local acts = redis.call('ZRANGEBYSCORE', P .. 'audit', '-inf', ms(now - options.keep), 'LIMIT', 0, left)
  for _, id in ipairs(acts) do
    redis.call('ZREM', P .. 'audit', id)
    redis.call('DEL', P .. 'audit:' .. id)
  end
  return { now = tonumber(ms(now)), forgotten = forgotten + #acts + forget_users(now, left - #acts) }
end)
