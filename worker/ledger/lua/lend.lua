-- lend: parked messages whose time has come, for one worker to try again. Nobody else is given them for a while; one
-- that is not unparked by then, because the worker died, is lent again.
--   KEYS[1]  the prefix of what is parked (see park.lua)
--   ARGV     group, how many at most, for how long (ms)
--   returns  messages (JSON)
--include _clock
--include _account
local key, most, long = KEYS[1] .. 'in:' .. ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local now = clock()
local found = redis.call('ZRANGEBYSCORE', key, '-inf', ms(now), 'LIMIT', 0, most)
for _, message in ipairs(found) do redis.call('ZADD', key, 'XX', ms(now + long), message) end
return found
