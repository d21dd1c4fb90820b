-- key_ask: may this key be used for a call? Whoever may try it makes one call, and tells what came of it.
--   KEYS[1]  the key's record (see _key.lua)
--   ARGV     cfg (JSON), fingerprint, who asks, account
--   returns  {"may": "use" | "try" | "wait", "rest": ms to wait, "why", "target": of the refusal, "tried": somebody
--   tries it now}
--include _key
local fingerprint, who, account = ARGV[2], ARGV[3], ARGV[4]
local now = key_time()
if account ~= '' then set('account:' .. account, fingerprint) end
keep_record()

local bad = decoded('bad:' .. fingerprint)
if not bad and value('good:' .. fingerprint) then return cjson.encode({ may = 'use' }) end
local till = tonumber(value('trying_until') or '0')
if till > now and till <= now + cfg.try_for and not (value('trying_by') == who and value('trying') == fingerprint) then
  return cjson.encode({ may = 'wait', rest = till - now, tried = true })
end
local at = tried_again(now, bad)
if at > now then
  return cjson.encode({ may = 'wait', rest = at - now, why = bad and bad.why, target = bad and bad.target })
end
set('trying', fingerprint, 'trying_by', who, 'trying_until', ms(now + cfg.try_for))
return cjson.encode({ may = 'try' })
