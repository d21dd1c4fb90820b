-- Wake-ups. An executor is called only when there is something for it to do, the gate lets a call through, and no executor
-- waits or is on its way. There is something to do when a deletion is due, and when something closed is to be tried
-- again.
--include _lanes
local WAKEUP = 2000        -- ms after which a wake-up counts as lost; twice as long for each that nobody answered before it
local MOST_LOST = 4      -- of which it is known: while no worker runs a wake-up is sent twice a minute
local WAITER = 1000      -- ms after its wake-up that a waiting executor counts as gone

local function executors_waiting(now)
  return redis.call('ZCOUNT', K.waiting_executors, ms(now - WAITER), '+inf')
end

-- Until when are keys closed: this one or, where the caller has none, all of them?
local function keys_closed(now, key)
  if key then
    return read_gate()['good:' .. key] and 0 or math.max(num('bad:' .. key, 0), num('trying:' .. key, 0))
  end
  local till = math.huge
  for name, at in pairs(read_gate()) do
    if string.sub(name, 1, 5) == 'good:' then return 0 end
    if string.sub(name, 1, 4) == 'bad:' then till = math.min(till, num(name, 0)) end
  end
  return till < math.huge and till or 0
end

-- Is the gate closed, so that not even a try is allowed? And until when (nil: until a person acts).
local function closed_until(now, cfg, key)
  if read_gate().paused then return true, nil end
  local till = math.max(num(own(cfg, 'throttled_until'), 0), keys_closed(now, key))
  for _, scope in ipairs(cfg.scopes or ACCOUNT) do
    local c = closure(scope)
    till = math.max(till, c and c['until'] or 0)
  end
  if till > now then return true, till end
  local slot = next_slot(now, cfg)
  if slot > now + 2000 then return true, slot - 1000 end
  return false
end

-- When something closed is to be tried next, due deletions or not; nil: nothing is.
local function next_try()
  if num('closed', 0) == 0 then return nil end
  local at = tonumber(redis.call('ZRANGE', K.probes, 0, 0, 'WITHSCORES')[2] or nil)
  return at and at < math.huge and math.max(at, 0) or nil
end

-- When there is something to do next for a kind (ms since 1970); nil: nothing, or only a person can change it.
local function next_look_of(now, cfg, key)
  local closed, till = closed_until(now, cfg, key)
  if closed then return till end
  local due, try = next_due(now, cfg), next_try()
  return due and try and math.min(due, try) or due or try
end

-- The same for whatever waits. What jobs left behind is looked for while their DELETEs may be called.
local function next_look(now, cfg, key)
  local erasure = number(redis.call('ZRANGE', K.erasures, '0', '0', 'WITHSCORES')[2])
  local soonest = erasure and not closed_until(now, cfg, key) and math.max(0, erasure) or nil
  for _, each in ipairs(waiting_kinds(cfg)) do
    local at = next_look_of(now, each, key)
    if at and at < (soonest or math.huge) then soonest = at end
  end
  return soonest
end

-- Whether an executor is to be called now. What each turn needs to know, whether one was called, is in the gate, too.
local function executor_wanted(now, cfg, key)
  local called = num('called_until', 0)
  if called > now and called <= now + WAKEUP or enough_at_work(now, cfg) then return false end
  if executors_waiting(now) > 0 then return false end
  if redis.call('ZCOUNT', K.wakeups_in_flight, '(' .. ms(now), ms(now + WAKEUP * 2 ^ MOST_LOST)) > 0 then return false end
  local at = next_look(now, cfg, key)
  return at ~= nil and at <= now and not full(now, cfg)
end

-- The number of a wake-up that is to be sent; nil: none is.
local function notify(now, cfg, key)
  if not executor_wanted(now, cfg, key) then return nil end
  redis.call('ZREMRANGEBYRANK', K.wakeups_in_flight, 0, -MOST_LOST - 1)
  local lost = redis.call('ZCARD', K.wakeups_in_flight)
  local wakeup = tostring(redis.call('INCR', K.wakeup_count))
  redis.call('ZADD', K.wakeups_in_flight, ms(now + WAKEUP * 2 ^ lost), wakeup)
  put('called_until', now + WAKEUP)
  return wakeup
end

-- A wake-up reached an executor: messages go through.
local function wakeup_arrived(now, wakeup)
  drop('called_until')
  redis.call('ZREM', K.wakeups_in_flight, wakeup)
  redis.call('ZREMRANGEBYSCORE', K.wakeups_in_flight, '-inf', ms(now))
end
