-- key_proved: a call that went with this key was answered, and not refused.
--   KEYS[1]  the key's record (see _key.lua)
--   ARGV     cfg (JSON), fingerprint, who called, age (ms since the call left)
--   returns  {"proved": false where it was no try, and left before the last refusal, "accounts": those that may not
--   know it yet}
--include _key
local fingerprint, now = ARGV[2], key_time()
local bad = decoded('bad:' .. fingerprint)
local tried = value('trying') == fingerprint and value('trying_by') == ARGV[3]
if bad and not tried and now - tonumber(ARGV[4]) <= bad.at then return '{"proved":false}' end
local known = value('good:' .. fingerprint) and not bad
set('good:' .. fingerprint, '1')
if not known then set('proved:' .. fingerprint, ms(now)) end
drop('bad:' .. fingerprint, 'tries')
if value('trying') == fingerprint then end_try() end
keep_record()
return cjson.encode({ proved = true, accounts = not known and users(fingerprint) or nil })
