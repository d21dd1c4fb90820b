-- settle_delivery: what became of one attempt. An endpoint that answered 2xx has it, whoever tried meanwhile; else only
-- the last one who took it may say.
--   KEYS[1]  the account's prefix
--   ARGV     caller, operation number, options (JSON: endpoint, id, lease, ok (bool), status (none: no answer), why, ms,
--            used (bool: it used an attempt), delay (ms until the next; none: it is given up))
--   returns  {"now", "state": delivered | waiting | dead | late | unknown}
--include _drains
--include _once
--include _deliveries

local function with_attempt(log, line)
  local lines = {}
  for one in string.gmatch(log or '', '[^\n]+') do lines[#lines + 1] = one end
  lines[#lines + 1] = line
  return table.concat(lines, '\n', math.max(1, #lines - ATTEMPTS_KEPT + 1))
end

local function ended(k, now, state)
  redis.call('ZREM', K.deliveries_due .. options.endpoint, options.id)
  redis.call('HSET', k, 'state', state, 'ended', ms(now))
  count_delivery(options.endpoint, state)
  return state
end

return once(function(now)
  local endpoint, id = options.endpoint, options.id
  local k = delivery(endpoint, id)
  local v = redis.call('HMGET', k, 'event', 'leases', 'state', 'lines')
  if not v[1] then return { state = 'unknown' } end
  if v[3] == 'delivered' or (not options.ok and tonumber(v[2]) ~= options.lease) then return { state = 'late' } end
  local line = ms(now - options.ms) .. ' ' .. (options.status or '-') .. ' ' .. options.ms .. ' ' .. options.why
  redis.call('HSET', k, 'lines', with_attempt(v[4], line))
  if options.ok then
    redis.call('ZREM', K.deliveries_dead .. endpoint, id)
    return { state = ended(k, now, 'delivered') }
  end
  if options.used then redis.call('HINCRBY', k, 'failed', 1) end
  count_delivery(endpoint, 'failed')
  if options.delay then
    redis.call('ZADD', K.deliveries_due .. endpoint, ms(now + options.delay), id)
    return { state = 'waiting' }
  end
  redis.call('ZADD', K.deliveries_dead .. endpoint, ms(now), id)
  return { state = ended(k, now, 'dead') }
end)
