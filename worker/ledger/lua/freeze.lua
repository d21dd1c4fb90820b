-- freeze: write down which letters a replay means, 500 at a time. Nothing happens to them before `start`; a list that
-- nobody starts within an hour is forgotten.
--   KEYS[1]  the account's prefix
--   ARGV     caller, operation number, options (JSON: id), then up to 500 refs
--   returns  {"now", "total": how many are written down}
--include _clock
--include _account
--include _once
--include _places
local FORGET = 3600000
local options = cjson.decode(ARGV[3])

return once(ARGV[1], ARGV[2], function()
  local elsewhere = not_here(options)
  if elsewhere then return elsewhere end
  local R = P .. 'replay:' .. options.id
  redis.call('HSETNX', R, 'state', 'planning')
  redis.call('RPUSH', R .. ':refs', unpack(ARGV, 4))
  redis.call('PEXPIRE', R, FORGET)
  redis.call('PEXPIRE', R .. ':refs', FORGET)
  return { now = tonumber(ms(clock())), total = redis.call('LLEN', R .. ':refs') }
end)
