-- give_up_deliveries: what has waited since some time for an endpoint that is no more is given up, the oldest first.
--   KEYS[1]  the account's prefix
--   ARGV     caller, operation number, options (JSON: endpoint, why, since: ms; what waits since a later time stays)
--   returns  {"now", "given_up": how many, at most 1000}
--include _drains
--include _once
--include _deliveries

return once(function(now)
  local waiting = redis.call('ZRANGE', K.deliveries_waiting .. options.endpoint, '-inf', ms(options.since), 'BYSCORE', 'LIMIT', 0, AT_ONCE)
  return { given_up = give_up(now, options.endpoint, waiting, options.why) }
end)
