-- Doorbells. A hand is called only when work is due, the gate lets somebody go, and no hand waits or is on its way.
local BELL = 2000        -- ms after which a doorbell counts as lost; twice as long for each that nobody answered before it
local MOST_LOST = 4      -- of which it is known: while no worker runs a bell is sent twice a minute
local WAITER = 1000      -- ms after its wake-up that a waiting hand counts as gone

-- When the next deletion is due (ms since 1970), the user lane first if it is due; nil when nothing is pending.
local function next_due(now)
  local soonest
  for _, lane in ipairs({ 'user', 'bulk' }) do
    local head = redis.call('ZRANGE', P .. 'due:' .. lane, 0, 0, 'WITHSCORES')
    if head[2] then
      local at = tonumber(head[2])
      if at <= now then return at end
      if not soonest or at < soonest then soonest = at end
    end
  end
  return soonest
end

local function hands_waiting(now)
  return redis.call('ZCOUNT', P .. 'waiting', ms(now - WAITER), '+inf')
end

-- Is the gate open, or will it let somebody try? Says until when it is closed otherwise (nil: until a person acts).
local function closed_until(now, cfg)
  local g = read_gate()
  if g.paused then return true, nil end
  local till = 0
  if g.block then till = num('block_until', 0) end
  till = math.max(till, num('throttled_until', 0), num('probe_until', 0))
  if till > now then return true, till end
  local slot = next_slot(now, cfg)
  if slot > now + 2000 then return true, slot - 1000 end
  return false
end

local function ring(now, cfg)
  if closed_until(now, cfg) then return nil end
  local due = next_due(now)
  if not due or due > now then return nil end
  if hands_waiting(now) > 0 then return nil end
  redis.call('ZREMRANGEBYRANK', P .. 'rung', 0, -MOST_LOST - 1)
  if redis.call('ZCOUNT', P .. 'rung', '(' .. ms(now), ms(now + BELL * 2 ^ MOST_LOST)) > 0 then return nil end
  if full(now, cfg) then return nil end
  local lost = redis.call('ZCARD', P .. 'rung')
  local bell = tostring(redis.call('INCR', P .. 'bells'))
  redis.call('ZADD', P .. 'rung', ms(now + BELL * 2 ^ lost), bell)
  return bell
end

-- A hand heard a bell: messages go through.
local function heard(now, bell)
  redis.call('ZREM', P .. 'rung', bell)
  redis.call('ZREMRANGEBYSCORE', P .. 'rung', '-inf', ms(now))
end
