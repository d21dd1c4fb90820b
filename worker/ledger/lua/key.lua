-- key: the record of one key: may it be used, and if not, who may try it, and when? More than five refusals in a row
-- lock it for everybody, other programs included, so refusals are a budget of the key: of all processes, accounts and
-- calls together.
--   KEYS[1]  the key's record: a hash, `eraser:{key:<hash of the AK, or of an IAM user>}`, in a slot of its own
--   ARGV     step, cfg (JSON), and but for `retry` and `spoilt` fingerprint, caller, and what the step needs
--            cfg: pauses (list; the first is for a key that worked before), within, most, try_for, keep, clocks (what
--            time it is by the caller's clock, and by MetaStudio's)
--   returns  see each step, as JSON
-- The hash; times in ms:
--   good:<fingerprint>    it works; a new secret of the same AK is another fingerprint
--   proved:<fingerprint>  since when
--   bad:<fingerprint>     JSON: it was refused. since; at: when it was so last; until: when somebody may try; step: of
--                         the pauses; why, target
--   tries                 JSON: when tries were refused; of those of the last `within` ms there are at most `most`
--   trying, trying_by, trying_until    the fingerprint that a thread of somebody's tries now; nobody else does until
--                         then
--   account:<name>        the fingerprint that this account last asked about
--   last                  the id of the last refusal
--   time                  what time it was here last
--include _time
local K = KEYS[1]
local cfg, fingerprint, caller = cjson.decode(ARGV[2]), ARGV[3], ARGV[4]
if ARGV[1] == 'spoilt' then redis.call('DEL', K) end
redis.call('HDEL', K, '-')  -- it begins with what frees memory, so that it runs on when Redis is full

local function value(name) return redis.call('HGET', K, name) or nil end
local function decoded(name, default)
  local text = value(name)
  return text and cjson.decode(text) or default
end
local function ms(x) return string.format('%.0f', math.floor(x)) end
local function set(...) redis.call('HSET', K, ...) end
local function drop(...) redis.call('HDEL', K, ...) end

-- Redis's time, while the caller's clock agrees. While it does not, the earlier of the two, and never before what it
-- was: a clock that jumps makes a key rest, and never has it tried.
local MINUTE = 60000
local function key_time()
  local raw, theirs = redis_time(), nil
  for _, at in ipairs(cfg.clocks) do
    if not theirs or math.abs(at - raw) < math.abs(theirs - raw) then theirs = at end
  end
  local now = raw
  if theirs and math.abs(theirs - raw) > MINUTE then
    now = math.max(tonumber(value('time') or '0'), math.min(raw, theirs))
  end
  set('time', ms(now))
  return now
end

-- Temporary keys come by the hour, each with a record. One that rests for longer than its record is tried anew.
local function keep_record() redis.call('PEXPIRE', K, cfg.keep) end

local function end_try() drop('trying', 'trying_by', 'trying_until') end

-- The accounts that use it.
local function users()
  local found, flat = {}, redis.call('HGETALL', K)
  for i = 1, #flat, 2 do
    local name = string.match(flat[i], '^account:(.*)')
    if name and flat[i + 1] == fingerprint then found[#found + 1] = name end
  end
  return found
end

-- When a try is within the budget.
local function affordable(now)
  local recent = {}
  for _, at in ipairs(decoded('tries', {})) do
    if at > now - cfg.within and at <= now then recent[#recent + 1] = at end
  end
  return #recent >= cfg.most and recent[#recent - cfg.most + 1] + cfg.within or now
end

-- When it may be tried. No rest is longer than the longest pause: Redis's clock went back.
local function tried_again(now, bad)
  local at = bad and bad['until'] or now
  if at > now + cfg.pauses[#cfg.pauses] then at = now end
  return math.max(at, affordable(now))
end

local now, good, bad, tried  -- tried: the caller tries it just now
local STEPS = {}

-- May it be used for a call? Whoever may try it makes one call, and tells what came of it. ARGV[5]: the account.
-- {may = use | try | wait, rest = ms to wait, why and target of the refusal, tried = somebody tries it now}
function STEPS.ask()
  if ARGV[5] ~= '' then set('account:' .. ARGV[5], fingerprint) end
  keep_record()
  if good and not bad then return { may = 'use' } end
  local till = tonumber(value('trying_until') or '0')
  if till > now and till <= now + cfg.try_for and not tried then return { may = 'wait', rest = till - now, tried = true } end
  local at = tried_again(now, bad)
  if at > now then return { may = 'wait', rest = at - now, why = bad and bad.why, target = bad and bad.target } end
  set('trying', fingerprint, 'trying_by', caller, 'trying_until', ms(now + cfg.try_for))
  return { may = 'try' }
end

-- A call that went with it was answered, and not refused. ARGV[5]: ms since that left.
-- {proved = false where it was no try, and left before the last refusal; accounts that may not know it yet}
function STEPS.proved()
  if bad and not tried and now - tonumber(ARGV[5]) <= bad.at then return { proved = false } end
  local known = good and not bad
  set('good:' .. fingerprint, '1')
  if not known then set('proved:' .. fingerprint, ms(now)) end
  drop('bad:' .. fingerprint, 'tries')
  if value('trying') == fingerprint then end_try() end
  keep_record()
  return { proved = true, accounts = not known and users() or nil }
end

-- A call was refused for it. ARGV[5]: JSON: id (of this refusal), age (ms since the call left), lock (ms, where it is
-- said to be locked), at_once (it was the clock: the next call is signed with a better one), why, target.
-- {rest = ms until it may be tried, accounts that use it}, or {repaired = true}: it works by now
function STEPS.refused()
  local refusal, at = cjson.decode(ARGV[5]), tonumber(ms(now))
  if now - refusal.age < tonumber(value('proved:' .. fingerprint) or '0') then return { repaired = true } end
  if refusal.id ~= value('last') then  -- the same refusal may be reported twice
    if not bad then
      bad = { since = at, step = good and 1 or 2, why = refusal.why, target = refusal.target }
      bad['until'] = now + cfg.pauses[bad.step]
    elseif tried then
      bad.step = math.min(bad.step + 1, #cfg.pauses)
      bad['until'] = now + cfg.pauses[bad.step]
    end
    bad.at = at
    if refusal.at_once then bad['until'] = now end
    if refusal.lock then bad['until'] = math.max(bad['until'], now + refusal.lock) end
    bad['until'] = tonumber(ms(bad['until']))
    if tried then
      local tries = decoded('tries', {})
      tries[#tries + 1] = at
      while #tries > cfg.most do table.remove(tries, 1) end
      set('tries', cjson.encode(tries))
      end_try()
    end
    set('bad:' .. fingerprint, cjson.encode(bad), 'last', refusal.id)
    drop('good:' .. fingerprint)
    keep_record()
  end
  return { rest = math.max(0, tried_again(now, bad) - now), accounts = users() }
end

-- The caller's try was not answered: somebody else may try.
function STEPS.unreported()
  if tried then end_try() end
  return {}
end

-- A person says that it may be tried at once. More than the budget allows nobody may. {rest = ms until it may be tried}
function STEPS.retry()
  local flat = redis.call('HGETALL', K)
  for i = 1, #flat, 2 do
    if string.sub(flat[i], 1, 4) == 'bad:' then
      local one = cjson.decode(flat[i + 1])
      one['until'] = tonumber(ms(now))
      set(flat[i], cjson.encode(one))
    end
  end
  return { rest = affordable(now) - now }
end

-- Another program spoilt this record. It begins anew, as if the whole budget had just been used: nobody knows how often the
-- key was refused.
function STEPS.spoilt()
  local tries = {}
  for i = 1, cfg.most do tries[i] = tonumber(ms(now)) end
  set('tries', cjson.encode(tries))
  keep_record()
  return {}
end

now = key_time()
if fingerprint then
  good, bad = value('good:' .. fingerprint), decoded('bad:' .. fingerprint)
  tried = value('trying') == fingerprint and value('trying_by') == caller
end
return cjson.encode(STEPS[ARGV[1]]())
