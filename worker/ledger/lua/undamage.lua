-- undamage: a person has looked at what was damaged, and gives up what was put aside of it.
--   KEYS[1]  the account's prefix
--   ARGV     caller, operation number, options (JSON: act (see _audit.lua)), then names as in `damaged`
--   returns  {"now", "results": ["dropped", or "unknown" where there is no such entry]}
--include _drains
--include _once
--include _audit
-- What stands there is no record of a deletion: see sound() in _damage.lua.
local function drop(name)
  redis.call('DEL', K.put_aside .. name)
  return redis.call('HDEL', spoilt.list, name) == 1 and 'dropped' or 'unknown'
end

return once(function(now) return { results = act_on_each(drop, now) } end)
