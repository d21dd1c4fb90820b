-- dispatch: renew a worker's turn as the dispatcher if it has it, take it if it is free.
--   KEYS     who dispatches, and the wake-ups (see keys.py)
--   ARGV     worker, life of a turn (ms), how many accounts
--   returns  nil, if another worker has the turn; else Redis's time (ms), the accounts that are to be looked at now, and
--            when the next one is, if there is one
-- It begins with what needs no memory, so that it also runs when Redis is full. A turn with a longer life than any can
-- have is from before Redis's clock went back.
--include _time
local holder = redis.call('GET', KEYS[1])
if holder == ARGV[1] then redis.call('PEXPIRE', KEYS[1], ARGV[2])
elseif holder then
  if redis.call('PTTL', KEYS[1]) > tonumber(ARGV[2]) then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
  return nil
else
  redis.call('DEL', KEYS[1])
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
end
local now = redis_time()
local due = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'LIMIT', 0, ARGV[3])
local head = #due == 0 and redis.call('ZRANGE', KEYS[2], 0, 0, 'WITHSCORES') or {}
return { tostring(now), due, head[2] or false }
