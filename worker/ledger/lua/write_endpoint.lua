-- write_endpoint: make, change or remove one endpoint of webhooks, unless somebody else did meanwhile. It belongs to no
-- account.
--   KEYS[1]  `<namespace>:endpoints`, hash: name -> JSON (see worker/ledger/endpoints.py)
--   ARGV     name, what is there (JSON; '': nothing), what replaces it (JSON; '': nothing), most (so many are kept)
--   returns  'written', 'changed' (something else is there), or 'full'
local name, before, after = ARGV[1], ARGV[2], ARGV[3]
if (redis.call('HGET', KEYS[1], name) or '') ~= before then return 'changed' end
if after == '' then
  redis.call('HDEL', KEYS[1], name)
  return 'written'
end
if before == '' and redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[4]) then return 'full' end
redis.call('HSET', KEYS[1], name, after)
return 'written'
