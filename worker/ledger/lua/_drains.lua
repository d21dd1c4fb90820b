--include _clock
--include _account
-- For moves that drain, withdraw or stop: a script whose first command only removes runs on when Redis is full.
each_call(function() redis.call('ZREM', K.waiting_executors, '-') end)
