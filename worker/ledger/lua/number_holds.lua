-- number_holds: the record of the holds beside the receipts (see receipts/hold_record.py) gets its next number. A Redis
-- that knows a lower number than the record has is older than the record.
--   KEYS[1]  the account's prefix
--   ARGV     caller, operation number, options (JSON: was: the number of the record that is there, restored (bool: Redis has
--            got its holds back: it goes on from that number))
--   returns  {"now", "n": its number; none: Redis is older, and nothing may be written over the record}
--
--   receipts:chain  holds   that number
--include _drains
--include _once

return once(function(now)
  local n = number(redis.call('HGET', K.receipts_chain, 'holds'), 0)
  if options.restored then redis.call('HSET', K.receipts_chain, 'holds', ms(math.max(n, options.was)))
  elseif n >= options.was then return { n = redis.call('HINCRBY', K.receipts_chain, 'holds', 1) } end
  return {}
end)
