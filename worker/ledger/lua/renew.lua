-- renew: a lease begins anew, for the next question under it. Nothing lasts longer by that than one call.
--   KEYS[1]  the account's prefix
--   ARGV     caller, operation number, options (JSON: ref, token, lease (ms))
--   returns  {"now", "ours": whether it is still the caller's}
--include _drains
--include _once

return once(function(now)
  local r = sound(options.ref)
  local ours = r and r[F.state] == 'running' and r[F.lease_token] == options.token or false
  if ours then redis.call('ZADD', K.running, ms(now + options.lease), options.ref) end
  return { ours = ours }
end)
