-- yield_dispatch: let another worker dispatch.
--   KEYS     who dispatches (see keys.py)
--   ARGV     worker
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
