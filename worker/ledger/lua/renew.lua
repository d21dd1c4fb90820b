-- renew: a lease begins anew, for the next question under it. Nothing lasts longer by that than one call.
--   KEYS[1]  the account's prefix
--   ARGV     caller, operation number, options (JSON: ref, token, lease (ms))
--   returns  {"now", "ours": whether it is still the caller's}
--include _clock
--include _account
--include _drains
--include _once
local options = cjson.decode(ARGV[3])

return once(ARGV[1], ARGV[2], function()
  local now = clock()
  local v = redis.call('HMGET', record(options.ref), F.state, F.lease_token)
  local ours = v[1] == 'running' and v[2] == options.token
  if ours then redis.call('ZADD', K.running, ms(now + options.lease), options.ref) end
  return { now = tonumber(ms(now)), ours = ours }
end)
