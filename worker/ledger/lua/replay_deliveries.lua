-- replay_deliveries: deliveries that have ended are sent again, under their ids, with a whole new budget of attempts, and
-- are among the newest from then on.
--   KEYS[1]  the account's prefix
--   ARGV     caller, operation number, options (JSON: endpoint, ids (at most 500), act (see _audit.lua))
--   returns  {"now", "results": one an id: replayed | waiting (it is on its way anyway) | unknown}
--include _once
--include _deliveries
--include _audit

local function again(now, id)
  local endpoint, k = options.endpoint, delivery(options.endpoint, id)
  local v = redis.call('HMGET', k, 'event', 'state')
  if not v[1] then return 'unknown' end
  if not v[2] then return 'waiting' end
  redis.call('HDEL', k, 'state', 'ended', 'failed')
  redis.call('ZREM', K.deliveries_dead .. endpoint, id)
  redis.call('ZREM', K.deliveries_ended, endpoint .. ':' .. id)
  waits(now, endpoint, id)
  return 'replayed'
end

return once(function(now)
  local results, counts = {}, {}
  for i, id in ipairs(options.ids) do
    results[i] = again(now, id)
    counts[results[i]] = (counts[results[i]] or 0) + 1
  end
  keep_few(now, options.endpoint)
  audit(now, counts)
  return { results = results }
end)
