-- The record of one key: may it be used, and if not, who may try it, and when? More than five refusals in a row lock it
-- for everybody, other programs included, so refusals are a budget of the key: of all processes, accounts and calls
-- together. KEYS[1]: a hash, `eraser:{key:<hash of the AK, or of an IAM user>}`, in a slot of its own. Times in ms.
--   good:<fingerprint>    it works; a new secret of the same AK is another fingerprint. proved:<fingerprint>: since
--   when bad:<fingerprint>     JSON: it was refused. since; at: when it was so last; until: when somebody may try;
--   step: of the
--                         pauses; why, target
--   tries                 JSON: when tries were refused; of those of the last `within` ms there are at most `most`
--   trying, trying_by, trying_until    the fingerprint that a thread of somebody's tries now; until then nobody else
--   does account:<name>        the fingerprint that this account last asked about
--   time                  what time it was here last
-- cfg: pauses (list; the first is for a key that worked before), within, most, try_for, keep, clocks (what time it is
-- by the
--      caller's clock, and by MetaStudio's)
--include _time
local K = KEYS[1]
local cfg = cjson.decode(ARGV[1])
redis.call('HDEL', K, '-')  -- it begins with what frees memory, so that it runs on when Redis is full

local function value(name) return redis.call('HGET', K, name) or nil end
local function decoded(name, default)
  local said = value(name)
  return said and cjson.decode(said) or default
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
local function users(fingerprint)
  local found = {}
  local flat = redis.call('HGETALL', K)
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
