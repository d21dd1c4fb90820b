-- snapshot: write down which letters a replay means, 500 at a time. Nothing happens to them before `start`; a list that
-- nobody starts is forgotten after a day (see forget.lua).
--   KEYS[1]  the account's prefix
--   ARGV     caller, operation number, options (JSON: id), then up to 500 refs
--   returns  {"now", "total": how many are written down}
--include _once
--include _places

return once(function(now)
  redis.call('HSETNX', K.replay .. options.id, 'state', 'planning')
  redis.call('RPUSH', K.replay_refs .. options.id, unpack(ARGV, 4))
  redis.call('ZADD', K.replays_planned, ms(now), options.id)
  return { total = redis.call('LLEN', K.replay_refs .. options.id) }
end, not_here)
