-- heartbeat: a worker is alive. It begins with what needs no memory, so that it also runs when Redis is full.
--   KEYS     the workers (see keys.py)
--   ARGV     worker
--   returns  Redis's time (ms)
--include _time
redis.call('ZREM', KEYS[1], '-')
local now = redis_time()
redis.call('ZADD', KEYS[1], now, ARGV[1])
return tostring(now)
