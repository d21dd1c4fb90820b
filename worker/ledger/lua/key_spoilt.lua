-- key_spoilt: other hands spoilt this record. It begins anew, as if the whole budget had just been used: nobody knows
-- how often the key was refused.
--   KEYS[1]  the key's record (see _key.lua)
--   ARGV     cfg (JSON)
--   returns  {}
redis.call('DEL', KEYS[1])
--include _key
local tries, now = {}, tonumber(ms(key_time()))
for i = 1, cfg.most do tries[i] = now end
set('tries', cjson.encode(tries))
keep_record()
return '{}'
