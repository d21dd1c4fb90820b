-- The gate of an account: may MetaStudio be called now, and when? One hash, decided inside the scripts that run anyway.
--
--   paused, paused_at, paused_by             an operator's pause and its reason
--   closed                                   how many scopes are closed, or have to be tried first (see _closures.lua)
--   good:<key>                               when this key (a fingerprint) last worked for this account
--   bad:<key>                                this key was refused: closed for its holders until then. Of a key that is
--                                            neither, nobody here knows anything: its own record is asked (key.lua)
--   trying:<key>                             somebody does so, until then
--   slot, nth, left, share, slow, throttled_until, throttles, throttled_at, call_ms, look_slot    the pace (see _limiter.lua)
--   failing, forbidden                       how many different jobs failed since the last sign of life (see
--   _breaker.lua) well, well_at, home                      when the last job that was answered was due, when that was,
--   and its project past:<lane>, ties:<lane>, past_at        where the lane begins to be open (see _pick.lua)
--   person_at                                when a person's deletion last went
--   skew, skew_at                            MetaStudio's clock less Redis's, ms; calls are signed with it
--   quota:<family>                           what the API gateway says of its own limit
--
-- cfg: kinds (of other targets than jobs: kind, family, interval, look_family, look_interval), interval (ms between
--      calls at the full rate), look_interval, max_calls, outage_after (jobs), outage_pause (ms),
--      outage_pause_max, misconfigured_pause, misconfigured_pause_max, key_pause, block_pause, lease
local gate, gate_numbers, gate_changed
each_call(function() gate, gate_numbers, gate_changed = nil, {}, {} end)

local function read_gate()
  if gate then return gate end
  gate = {}
  local flat = redis.call('HGETALL', K.gate)
  for i = 1, #flat, 2 do gate[flat[i]] = flat[i + 1] end
  return gate
end

local function num(name, default)
  local found = gate_numbers[name]
  if found then return found end
  local stored = (gate or read_gate())[name]
  if not stored then return default end
  found = number(stored)
  gate_numbers[name] = found
  if not found then
    damage('gate ' .. name, 'it was no number', stored)
    redis.call('HDEL', K.gate, name)
    gate[name] = nil
  end
  return found or default
end

local function put(name, value)
  (gate or read_gate())[name], gate_numbers[name], gate_changed[name] = value, nil, true
end

local function drop(...)
  for _, name in ipairs({ ... }) do
    if read_gate()[name] then put(name, nil) end
  end
end

local function write_gate()
  local set, gone = {}, {}
  for name in pairs(gate_changed) do
    local value = gate[name]
    if value then
      set[#set + 1] = name
      set[#set + 1] = value
    else gone[#gone + 1] = name end
  end
  if #gone > 0 then redis.call('HDEL', K.gate, unpack(gone)) end
  if #set > 0 then redis.call('HSET', K.gate, unpack(set)) end
  gate_changed = {}
end

-- What the API gateway says of its limit for a family of calls. People compare it with our pace; it changes none.
local function note_quota(now, quota)
  put('quota:' .. quota.family, cjson.encode({ scope = quota.scope, limit = quota.limit, period_s = quota.period_s,
    remaining = quota.remaining, at = tonumber(ms(now)) }))
end

-- A closed project is closed for one kind only.
local function project_scope(ref)
  local kind = kind_of(ref)
  return 'project ' .. project_of(ref) .. (kind and '/' .. kind or '')
end

-- MetaStudio limits families of calls, and may refuse one and not the others. What the gate keeps of the jobs' family
-- has plain names; every other one has its own pace, failures and closure, as `<name>:<family>` and `family <family>`.
local function own(cfg, name) return cfg.own and name .. cfg.own or name end
local ACCOUNT, other_kinds, kinds_now = { 'account' }, nil, nil
each_call(function() other_kinds, kinds_now = nil, nil end)

-- The knobs of a kind; nil: this process does not know it. None: of jobs.
local function of_named_kind(cfg, kind)
  if not kind or kind == 'job' then return cfg end
  if not other_kinds then
    other_kinds = {}
    for i, k in ipairs(cfg.kinds) do
      local scope = 'family ' .. k.family
      other_kinds[i] = setmetatable({ kind = k.kind, queue = ':' .. k.kind, own = ':' .. k.family, scope = scope,
        scopes = { 'account', scope }, interval = k.interval, look_own = ':' .. k.look_family,
        look_interval = k.look_interval }, { __index = cfg })
    end
  end
  for _, other in ipairs(other_kinds) do
    if other.kind == kind then return other end
  end
end
local function of_kind(cfg, ref) return of_named_kind(cfg, kind_of(ref)) or cfg end

-- Jobs, then the other kinds of which something waits, or is closed.
local function waiting_kinds(cfg)
  if kinds_now then return kinds_now end
  kinds_now = { cfg }
  local queues = {}
  for i, k in ipairs(cfg.kinds) do queues[2 * i - 1], queues[2 * i] = K.due .. 'user:' .. k.kind, K.due .. 'bulk:' .. k.kind end
  if #queues == 0 or (num('closed', 0) == 0 and redis.call('EXISTS', unpack(queues)) == 0) then return kinds_now end
  for _, k in ipairs(cfg.kinds) do
    if num('closed', 0) > 0 or redis.call('EXISTS', K.due .. 'user:' .. k.kind, K.due .. 'bulk:' .. k.kind) > 0 then
      kinds_now[#kinds_now + 1] = of_named_kind(cfg, k.kind)
    end
  end
  return kinds_now
end
--include _closures
--include _limiter
--include _key_copy
--include _breaker

-- 'go', probe (the closure that the call may open, if any)  |  'try', closure: ask for a harmless list first
-- | 'key': nobody here knows whether this key may be used  |  'wait', ms  |  'closed', until (ms) or nil.
-- Nothing is reserved: whoever goes takes the slot in reserve().
local function admit(now, cfg, key)
  local g = read_gate()
  if g.paused then return 'closed' end
  if not g['good:' .. key] then
    local till = math.max(num('bad:' .. key, 0), num('trying:' .. key, 0))
    if till > now then return 'closed', till end
    return 'key'
  end
  local probe, till = nil, num(own(cfg, 'throttled_until'), 0)
  for _, scope in ipairs(cfg.scopes or ACCOUNT) do
    local c = closure(scope)
    if c then
      till = math.max(till, c['until'])
      if till <= now and not c.listed then return 'try', scope end
      probe = scope
    end
  end
  if till > now then return 'closed', till end
  local wait = wait_for_slot(now, cfg, options.settle and early_to_settle(now, cfg) or early(cfg))
  if wait > 0 then return 'wait', wait end
  return 'go', probe
end

-- May a call that was allowed a while ago still leave?
local function still_open(now, cfg, key, ref, probe)
  cfg = of_kind(cfg, ref)
  if read_gate().paused or not read_gate()['good:' .. key] or num(own(cfg, 'throttled_until'), 0) > now then return false end
  for _, name in ipairs({ 'account', project_scope(ref), cfg.scope }) do
    if closure(name) and name ~= probe then return false end
  end
  return true
end
