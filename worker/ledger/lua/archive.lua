-- archive: receipts that are safe in a file are Redis's no more. Nobody reads them from here on; `trim` takes them
-- away.
--   KEYS[1]  the account's prefix
--   ARGV     caller, operation number, options (JSON: was (the id that was archived last), n, id, head: the last one in
--            the file, redacted: how often texts had been redacted when it was written)
--   returns  {"now", "archived": bool}: false where another one archived or redacted meanwhile, or it was never sealed
--include _drains
--include _once

return once(function(now)
  local chain = K.receipts_chain
  local v = redis.call('HMGET', chain, 'archived_id', 'sealed_n', 'redacted')
  if (v[1] or '0-0') ~= options.was or number(v[2], 0) < options.n then return { archived = false } end
  if number(v[3], 0) ~= options.redacted then return { archived = false } end
  redis.call('HSET', chain, 'archived_n', options.n, 'archived_id', options.id, 'archived_head', options.head)
  return { archived = true }
end)
