-- unpark: forget parked messages, which went back to the broker or were given up; and their group with the last one.
--   KEYS[1]  the prefix of what is parked (see park.lua)
--   ARGV     group, then messages (JSON)
--   returns  how many were there
--include _account
local key, removed = KEYS[1] .. 'in:' .. ARGV[1], 0
for i = 2, #ARGV do removed = removed + redis.call('ZREM', key, ARGV[i]) end
if redis.call('EXISTS', key) == 0 then redis.call('HDEL', K.groups, ARGV[1]) end
return removed
