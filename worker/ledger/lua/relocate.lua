-- relocate: the next day's receipts may go to a directory that lacks those before. Over once they have: the head is
-- another one then.
--   KEYS[1]  the account's prefix
--   ARGV     caller, operation number, options (JSON: head: the last one in a file, as it was seen, act (see
--   _audit.lua)) returns  {"now", "relocated": bool}: false where something was archived meanwhile
--include _clock
--include _account
--include _once
--include _audit
local options = cjson.decode(ARGV[3])

return once(ARGV[1], ARGV[2], function()
  local now, book = clock(), K.receipts_chain
  local same = redis.call('HGET', book, 'archived_head') == options.head
  if same then
    redis.call('HSET', book, 'relocated', options.head)
    audit(now, options.act, { 'relocated' })
  end
  return { now = tonumber(ms(now)), relocated = same }
end)
