-- forget: records whose keeping time is over leave Redis, and so do entries of the audit. Dead letters never do.
--   KEYS[1]  the account's prefix
--   ARGV     caller, operation number, options (JSON: keep (ms), limit)
--   returns  {"now", "forgotten": how many records and entries}
--include _clock
--include _account
--include _drains
--include _once
--include _counters
local options = cjson.decode(ARGV[3])

return once(ARGV[1], ARGV[2], function()
  local now, forgotten = clock(), 0
  for _, state in ipairs({ 'deleted', 'gone', 'cancelled', 'discarded' }) do
    local old = redis.call('ZRANGEBYSCORE', P .. state, '-inf', ms(now - options.keep), 'LIMIT', 0, options.limit)
    for _, ref in ipairs(old) do
      redis.call('ZREM', P .. state, ref)
      redis.call('DEL', record(ref))
      forgotten = forgotten + 1
    end
  end
  if forgotten > 0 then count('deletion.forgotten', forgotten) end
  local acts = redis.call('ZRANGEBYSCORE', P .. 'audit', '-inf', ms(now - options.keep), 'LIMIT', 0, options.limit)
  for _, id in ipairs(acts) do
    redis.call('ZREM', P .. 'audit', id)
    redis.call('DEL', P .. 'audit:' .. id)
  end
  return { now = tonumber(ms(now)), forgotten = forgotten + #acts }
end)
