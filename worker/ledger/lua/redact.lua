-- redact: an entry of the receipts' stream, without texts of who or why. An entry of a stream cannot be changed, so it
-- stands in `receipts:redacted` from here on, and is read from there (see read_receipts.lua).
--   KEYS[1]  the account's prefix
--   ARGV     caller, operation number, options (JSON: n, id, fields: names and values in turn, as they are to be)
--   returns  {"now", "redacted": bool}: false where it has left Redis, or was never there
--include _drains
--include _once

return once(function(now)
  local there = redis.call('XDEL', K.receipts, options.id) + redis.call('ZREMRANGEBYSCORE', K.receipts_redacted, options.n, options.n)
  if there == 0 then return { redacted = false } end
  redis.call('ZADD', K.receipts_redacted, options.n, cjson.encode({ options.id, options.fields }))
  redis.call('HINCRBY', K.receipts_chain, 'redacted', 1)
  return { redacted = true }
end)
