-- relocate: the next day's receipts may go to a directory that lacks those before. Over once they have: the head is
-- another one then.
--   KEYS[1]  the account's prefix
--   ARGV     caller, operation number, options (JSON: head: the last one in a file, as it was seen, act (see
--   _audit.lua)) returns  {"now", "relocated": bool}: false where something was archived meanwhile
--include _once
--include _audit

return once(function(now)
  local same = redis.call('HGET', K.receipts_chain, 'archived_head') == options.head
  if same then
    redis.call('HSET', K.receipts_chain, 'relocated', options.head)
    audit(now, { relocated = 1 })
  end
  return { relocated = same }
end)
