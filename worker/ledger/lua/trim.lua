-- trim: some of the receipts that were archived leave the stream, and their seals: a day of a million in a hundred
-- steps, none of which keeps Redis from others for long.
--   KEYS[1]  the account's prefix
--   ARGV     caller, operation number, options (JSON: id (the one that was archived last), keep (the smallest id after
--   it)) returns  {"now", "trimmed": how many entries; 0 where there are none, or more was archived meanwhile}
--include _drains
--include _once
local STEP, SEALS = 10000, 1000
return once(function(now)
  local chain, seals = K.receipts_chain, K.receipts_seals
  local v = redis.call('HMGET', chain, 'archived_id', 'archived_n')
  if v[1] ~= options.id then return { trimmed = 0 } end
  local old = math.min(SEALS, redis.call('ZCOUNT', seals, '-inf', number(v[2], 0)))
  if old > 0 then redis.call('ZREMRANGEBYRANK', seals, 0, old - 1) end
  -- whole nodes of the stream first; what is left in the last one is less than one
  local trimmed = redis.call('XTRIM', K.receipts, 'MINID', '~', options.keep, 'LIMIT', STEP)
  if trimmed == 0 then trimmed = redis.call('XTRIM', K.receipts, 'MINID', options.keep) end
  return { trimmed = trimmed + redis.call('ZREMRANGEBYSCORE', K.receipts_redacted, '-inf', number(v[2], 0)) }
end)
