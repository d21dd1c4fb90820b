-- register: change what the register of projects says of one, if it still says what the caller read.
--   KEYS[1]  the register
--   ARGV     project, what it says ('' for nothing), what it shall say
--   returns  what it says now
local stored = redis.call('HGET', KEYS[1], ARGV[1]) or ''
if stored ~= ARGV[2] then return stored end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
return ARGV[3]
