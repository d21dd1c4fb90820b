-- key_refused: a call was refused for its key.
--   KEYS[1]  the key's record (see _key.lua)
--   ARGV     cfg (JSON), fingerprint, who was refused, {id (of this refusal), age (ms since the call left), lock (ms,
--   where it is said to be
--            locked), at_once (it was the clock: the next call is signed with a better one), why, target} (JSON)
--   returns  {"rest": ms until it may be tried, "accounts": those that use it}, or {"repaired": true}: it works by now
--include _key
local fingerprint, said = ARGV[2], cjson.decode(ARGV[4])
local now = key_time()
local bad = decoded('bad:' .. fingerprint)
local left = now - said.age
local tried = value('trying') == fingerprint and value('trying_by') == ARGV[3]
if left < tonumber(value('proved:' .. fingerprint) or '0') then return '{"repaired":true}' end  -- it left before that
if said.id ~= value('last') then  -- the same refusal may be told twice
  local at = tonumber(ms(now))
  if not bad then
    local worked = value('good:' .. fingerprint)
    bad = { since = at, step = worked and 1 or 2, why = said.why, target = said.target }
    bad['until'] = now + cfg.pauses[bad.step]
  elseif tried then
    bad.step = math.min(bad.step + 1, #cfg.pauses)
    bad['until'] = now + cfg.pauses[bad.step]
  end
  bad.at = at
  if said.at_once then bad['until'] = now end
  if said.lock then bad['until'] = math.max(bad['until'], now + said.lock) end
  bad['until'] = tonumber(ms(bad['until']))
  if tried then
    local tries = decoded('tries', {})
    tries[#tries + 1] = at
    while #tries > cfg.most do table.remove(tries, 1) end
    set('tries', cjson.encode(tries))
    end_try()
  end
  set('bad:' .. fingerprint, cjson.encode(bad), 'last', said.id)
  drop('good:' .. fingerprint)
  keep_record()
end
return cjson.encode({ rest = math.max(0, tried_again(now, bad) - now), accounts = users(fingerprint) })
