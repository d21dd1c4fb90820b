-- take_deliveries: a worker takes some deliveries that are due. Whoever does not say what became of one in time loses
-- it to the next worker: so each arrives at least once.
--   KEYS[1]  the account's prefix
--   ARGV     caller, operation number, options (JSON: endpoint, most, lease (ms))
--   returns  {"now", "taken": [[id, event, at, about (JSON), failed, lease], …]}
--include _drains
--include _once
--include _deliveries

return once(function(now)
  local due, taken = K.deliveries_due .. options.endpoint, {}
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', due, '-inf', ms(now), 'LIMIT', 0, options.most)) do
    local k = delivery(options.endpoint, id)
    local v = redis.call('HMGET', k, 'event', 'at', 'about', 'failed')
    if not v[1] then waits_no_more(options.endpoint, id)
    else
      redis.call('ZADD', due, ms(now + options.lease), id)
      taken[#taken + 1] = { id, v[1], v[2], v[3], number(v[4], 0), redis.call('HINCRBY', k, 'leases', 1) }
    end
  end
  return { taken = #taken > 0 and taken or nil }
end)
