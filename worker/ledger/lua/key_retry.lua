-- key_retry: a person says that it may be tried at once. More than the budget allows nobody may.
--   KEYS[1]  the key's record (see _key.lua)
--   ARGV     cfg (JSON)
--   returns  {"rest": ms until it may be tried}
--include _key
local now = key_time()
local flat = redis.call('HGETALL', K)
for i = 1, #flat, 2 do
  if string.sub(flat[i], 1, 4) == 'bad:' then
    local bad = cjson.decode(flat[i + 1])
    bad['until'] = tonumber(ms(now))
    set(flat[i], cjson.encode(bad))
  end
end
return cjson.encode({ rest = affordable(now) - now })
