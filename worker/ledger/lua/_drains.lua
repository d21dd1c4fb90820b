--include _clock
--include _account
-- For moves that drain, withdraw or stop: a script whose first command only removes runs on when Redis is full. A
-- function may anyway.
each_call(function()
  if IS_SCRIPT then redis.call('ZREM', K.waiting_executors, '-') end
end)
