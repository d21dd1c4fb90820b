--include _redate
-- What workers do for the ledger's time (see _clock.lua): they write down that they looked, and when two clocks agree
-- that it is earlier than a worker saw, what was dated by the clock that had erred binds nobody any longer.
local OFTEN = 1000             -- ms: written once a second
local LONGEST_PAUSE = 1800000  -- ms: no date of the gate lies further ahead
local LEASES = 1000            -- the most that are mended at once
local HEADS = 100              -- the same of what waits in each lane: the rest is redate.lua's
local BACK = 1000              -- ms: a step back by less holds nobody up

-- The gate's dates: past ones are not in the future, and pauses end when they would have.
local function mend_gate(now, by)
  for name, value in pairs(read_gate()) do
    local at = tonumber(value)
    if at and at > 1e12 and at > now then  -- smaller numbers are no dates
      if string.find(name, '_at$') or string.find(name, '^good:') then put(name, now)
      elseif at > now + by then put(name, at - by)
      elseif at > now + LONGEST_PAUSE then put(name, now) end
    end
  end
  mend_closures(now)
  write_gate()
end

-- A lease lasts as long as it was meant to, from now on: its holder counts by a clock of its own and ends no later.
local function mend_leases(now)
  local leases = redis.call('ZREVRANGEBYSCORE', K.running, '+inf', ms(now), 'WITHSCORES', 'LIMIT', 0, LEASES)
  for i = 1, #leases, 2 do
    local ref = leases[i]
    local taken = tonumber(redis.call('HGET', record(ref), F.taken_at) or nil)
    if taken and taken > now then
      redis.call('ZADD', K.running, ms(tonumber(leases[i + 1]) - (taken - now)), ref)
      redis.call('HSET', record(ref), F.taken_at, ms(now - 1))
    end
  end
end

-- The ledger's time stood still while Redis's clock was wrong, and goes on where it should be. A lease has as much
-- left as when a worker looked last: its holder counts by a clock of its own.
local function lengthen_leases(by)
  local leases = redis.call('ZRANGE', K.running, 0, LEASES - 1, 'WITHSCORES')
  for i = 1, #leases, 2 do redis.call('ZADD', K.running, ms(tonumber(leases[i + 1]) + by), leases[i]) end
end

local function keep_time()
  local now = clock()
  local ahead, by_gate = math.floor(raw_time - now + 0.5), not kept_read
  local since = by_gate and raw_time - num('clock_kept', 0)
  if since and agreed and since >= 0 and since < OFTEN then return end
  read_kept()
  if kept_raw and math.abs(raw_time - kept_raw) < OFTEN and kept_ahead == ahead then return end
  redis.call('HSET', K.clock, 'raw', ms(raw_time), 'ahead', ahead)
  if by_gate and ahead == 0 then put('clock_kept', raw_time) elseif by_gate then drop('clock_kept') end
  if agreed and (kept_ahead or 0) ~= 0 and now > last_time then lengthen_leases(now - last_time) end
  if not last_time or now >= last_time - BACK then return end
  to_check = '1 0'
  redis.call('HSET', K.clock, 'check', to_check)
  redis.call('HSET', K.receipts_chain, 'turned', ms(now))
  redis.call('DEL', K.wakeups_in_flight, K.waiting_executors)
  drop('called_until')
  mend_gate(now, last_time - now)
  mend_leases(now)
  for _, index in ipairs(DATED) do
    redate_some(index, now, redis.call('ZRANGEBYSCORE', KEYS[1] .. index, '(' .. ms(now), '+inf', 'WITHSCORES', 'LIMIT', 0, HEADS))
  end
end
