-- wake: an account has work; whoever dispatches looks at it in time, or at once.
--   KEYS     the wake-ups and the accounts that wait for nothing (see keys.py)
--   ARGV     account, when (ms since 1970 by Redis's clock), '1': at once
-- It begins with what needs no memory, so that it also runs when Redis is full: work that drains must be woken.
redis.call('ZREM', KEYS[1], '-')
redis.call('ZADD', KEYS[1], 'LT', ARGV[2], ARGV[1])
if ARGV[3] == '1' then redis.call('ZADD', KEYS[2], 0, ARGV[1]) end
return 'OK'
