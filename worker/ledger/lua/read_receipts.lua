-- read_receipts: the next entries of the receipts' stream. Changes nothing; one long answer is read ten times faster
-- than thousands.
--   KEYS[1]  the account's prefix
--   ARGV     after this id, how many
--   returns  one list an entry: its id, and a list of its fields and their values in turn
--include _account
return cjson.encode(redis.call('XRANGE', K.receipts, '(' .. ARGV[1], '+', 'COUNT', ARGV[2]))
