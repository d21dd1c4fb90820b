-- give_up_deliveries: what waits for an endpoint that is no more is given up, the oldest first.
--   KEYS[1]  the account's prefix
--   ARGV     caller, operation number, options (JSON: endpoint, why)
--   returns  {"now", "given_up": how many, at most 1000}
--include _drains
--include _once
--include _deliveries

return once(function(now)
  local waiting = redis.call('ZRANGE', K.deliveries_waiting .. options.endpoint, 0, AT_ONCE - 1)
  return { given_up = give_up(now, options.endpoint, waiting, options.why) }
end)
