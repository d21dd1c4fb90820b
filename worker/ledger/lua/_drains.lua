-- For moves that drain, withdraw or stop: a script whose first command only removes runs on when Redis is full.
redis.call('ZREM', K.waiting_executors, '-')
