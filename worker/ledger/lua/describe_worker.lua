-- describe_worker: store what a worker says of itself. It begins with what needs no memory, as its heartbeat does.
--   KEYS     the descriptions (see keys.py)
--   ARGV     worker, description (JSON)
redis.call('HDEL', KEYS[1], '-')
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
