-- undamage: a person has looked at what was damaged, and gives up what was put aside of it.
--   KEYS[1]  the account's prefix
--   ARGV     caller, operation number, options (JSON: act (see _audit.lua)), then names as in `damaged`
--   returns  {"now", "results": ["dropped", or "unknown" where there is no such entry]}
--include _clock
--include _account
--include _drains
--include _once
--include _audit
local options = cjson.decode(ARGV[3])

local function drop(name)
  redis.call('DEL', K.put_aside .. name)
  return redis.call('HDEL', spoilt.list, name) == 1 and 'dropped' or 'unknown'
end

return once(ARGV[1], ARGV[2], function()
  local now, results = clock(), {}
  for i = 4, #ARGV do results[#results + 1] = drop(ARGV[i]) end
  audit(now, options.act, results, ARGV[4])
  return { now = tonumber(ms(now)), results = results }
end)
