-- snapshot: write down which letters a replay means, 500 at a time. Nothing happens to them before `start`; a list that
-- nobody starts is forgotten after a day (see forget.lua).
--   KEYS[1]  the account's prefix
--   ARGV     caller, operation number, options (JSON: id), then up to 500 refs
--   returns  {"now", "total": how many are written down}
--include _clock
--include _account
--include _once
--include _places
local options = cjson.decode(ARGV[3])

return once(ARGV[1], ARGV[2], function()
  local elsewhere = not_here(options)
  if elsewhere then return elsewhere end
  local now, R = clock(), K.replay .. options.id
  redis.call('HSETNX', R, 'state', 'planning')
  redis.call('RPUSH', K.replay_refs .. options.id, unpack(ARGV, 4))
  redis.call('ZADD', K.replays_planned, ms(now), options.id)
  return { now = tonumber(ms(now)), total = redis.call('LLEN', K.replay_refs .. options.id) }
end)
