-- settle_delivery: what became of one attempt. An endpoint that answered 2xx has it, whoever tried meanwhile; else only
-- the last one who took it may say.
--   KEYS[1]  the account's prefix
--   ARGV     caller, operation number, options (JSON: endpoint, id, lease, ok (bool), status (none: no answer), why, ms,
--            used (bool: it used an attempt), delay (ms until the next; none: it is given up))
--   returns  {"now", "state": delivered | waiting | dead | late | unknown}
--include _drains
--include _once
--include _deliveries

return once(function(now)
  local endpoint, id = options.endpoint, options.id
  local k = delivery(endpoint, id)
  local v = redis.call('HMGET', k, 'event', 'leases', 'state')
  if not v[1] then return { state = 'unknown' } end
  local late = not options.ok and (v[3] or tonumber(v[2]) ~= options.lease)
  if late or v[3] == 'delivered' then return { state = 'late' } end
  add_attempt(k, now - options.ms, (options.status or '-') .. ' ' .. options.ms .. ' ' .. options.why)
  if not options.ok then
    if options.used then redis.call('HINCRBY', k, 'failed', 1) end
    count_delivery(endpoint, 'failed')
  end
  if not options.ok and options.delay then
    redis.call('ZADD', K.deliveries_due .. endpoint, ms(now + options.delay), id)
    return { state = 'waiting' }
  end
  local state = options.ok and 'delivered' or 'dead'
  end_delivery(now, endpoint, id, state)
  return { state = state }
end)
