-- The gate of an account: may MetaStudio be called now, and when? One hash, decided inside the scripts that run anyway.
--
--   paused, paused_at, paused_by             an operator's pause and its reason
--   block, block_at, block_until, block_pause, block_why
--                                            `outage`, `credentials` or `misconfigured`: closed, but for one probe a pause
--   probe_until                              a probe is under way; until then nobody else goes
--   good:<key>                               when this key (a fingerprint) last had an answer; a new key starts with a probe
--   bad:<key>                                this key was refused: closed for its holders until then
--   slot, look_slot                          the next free slot of DELETE, of GET
--   nth                                      how many DELETEs were let through; see `left` below
--   share, slow, throttled_until, throttles, throttled_at    how far below the limit we stay, and what 429s taught us
--   call_ms                                  moving average of a call's length
--   failing                                  how many different jobs failed since the last sign of life
--   skew, skew_at                            MetaStudio's clock less Redis's, ms; calls are signed with it
--
-- cfg: interval (ms between calls at the full rate), look_interval, max_calls, outage_after (jobs), outage_pause (ms),
--      outage_pause_max, credentials_pause, misconfigured_pause, lease
local START_SHARE, MOST_SHARE, LEAST_SHARE = 0.985, 0.99, 0.90
local RETRY_AFTER_MOST = 15 * 60 * 1000

local G = P .. 'gate'
local gate, gate_dirty, gate_gone = nil, {}, {}

local function read_gate()
  if gate then return gate end
  gate = {}
  local flat = redis.call('HGETALL', G)
  for i = 1, #flat, 2 do gate[flat[i]] = flat[i + 1] end
  return gate
end

local function num(name, default) return tonumber(read_gate()[name] or default) end

local function put(name, value)
  read_gate()[name] = value
  gate_dirty[name] = value
  gate_gone[name] = nil
end

local function drop(...)
  for _, name in ipairs({ ... }) do
    if read_gate()[name] then
      gate[name] = nil
      gate_dirty[name] = nil
      gate_gone[name] = true
    end
  end
end

local function write_gate()
  local set, gone = {}, {}
  for name, value in pairs(gate_dirty) do
    set[#set + 1] = name
    set[#set + 1] = type(value) == 'number' and string.format('%.6f', value) or value
  end
  for name in pairs(gate_gone) do gone[#gone + 1] = name end
  if #gone > 0 then redis.call('HDEL', G, unpack(gone)) end
  if #set > 0 then redis.call('HSET', G, unpack(set)) end
  gate_dirty, gate_gone = {}, {}
end

local function spacing(cfg) return cfg.interval / num('share', START_SHARE) * num('slow', 1) end

-- Are as many calls under way as may be? What the pace needs at the present length of a call, and a few more: a dead
-- account keeps the length it had while it lived, so it cannot fill every thread. Calls that last long stand aside, up
-- to OLD_MOST: jobs that are never answered must not stop the others.
local YOUNG, OLD_MOST = 3000, 6  -- ms, calls
local function full(now, cfg)
  local most = math.min(cfg.max_calls, 4 + math.ceil(2 * num('call_ms', 0) / spacing(cfg)))
  local running = redis.call('ZCARD', P .. 'running')
  if running < most or running >= most + OLD_MOST then return running >= most end
  return redis.call('ZCOUNT', P .. 'running', ms(now + cfg.lease - YOUNG), '+inf') >= most
end

-- Why the gate lets only a probe through (nil: it is open to all), and until when not even that.
local function shut(cfg, key)
  local g = read_gate()
  local bad = num('bad:' .. key, 0)
  if bad > 0 then return g.block or 'credentials', bad end
  if g.block and g.block ~= 'credentials' then return g.block, num('block_until', 0) end
  if not g['good:' .. key] then return 'credentials', 0 end
end

-- Slots stand on an even grid. Threads are late for theirs by what a busy machine makes of it, and that must neither add
-- up nor crowd the limit. So the grid stays where a call was late by less than a slot, and the limit itself is watched:
-- `left` (hash: call number modulo a second's calls -> when it left, ms) holds the last second's calls, planned ones at
-- first, then what the hand says (see sent()). The next call leaves a second, and a part of the room that the spacing
-- leaves free in one, after the one that stands in its place.
local LEFT = P .. 'left'
local function places(cfg) return math.max(1, math.floor(1000 / cfg.interval + 0.5)) end
local function place(cfg, nth) return string.format('%d', nth % places(cfg)) end

local MOST_ROOM = 0.3  -- of a second: whoever is slowed down is so by the spacing
local AHEAD = 200      -- ms: no call stands there so far ahead; Redis's clock went back
local function window_opens(now, cfg)
  local oldest = tonumber(redis.call('HGET', LEFT, place(cfg, num('nth', 0) + 1)) or 0)
  if oldest > now + AHEAD then return 0 end
  local room = math.min(MOST_ROOM, num('slow', 1) / num('share', START_SHARE) - 1)
  return oldest + places(cfg) * cfg.interval * (1 + 0.6 * room)
end

-- The next slot. One that is further away than any of our making is of another clock, or of another rate: it binds nobody.
local function next_slot(now, cfg)
  local slot = num('slot', 0)
  return slot - now > 3 * spacing(cfg) and now or slot
end

-- A call left `late` ms after it was taken: the hand measured it. One that took longer than others may have come to the
-- server so much later. Nothing was sent: nil, and its place is free.
local ON_THE_WAY = 50  -- ms, at most: a slow answer is no late arrival
local function sent(cfg, nth, taken, late, took)
  if nth <= num('nth', 0) - places(cfg) then return end  -- another call stands there by now
  if not late then return redis.call('HDEL', LEFT, place(cfg, nth)) end
  local longer = math.max(0, math.min(ON_THE_WAY, took - num('call_ms', took)))
  redis.call('HSET', LEFT, place(cfg, nth), ms(taken + late + longer))
end

-- A hand comes a little before its slot and waits for the rest under its lease: a thread that wakes late on a busy
-- machine is then still in time. Holds and cancels bind until then.
local EARLY = 20  -- ms
local function early(cfg) return math.min(EARLY, spacing(cfg) / 4) end

-- 'go', probe?  |  'wait', ms  |  'closed', until (ms) or nil.  Nothing is reserved: who goes takes the slot in pass().
local function ask(now, cfg, key)
  if read_gate().paused then return 'closed' end
  local probe, till = shut(cfg, key)
  till = math.max(till or 0, num('throttled_until', 0), probe and num('probe_until', 0) or 0)
  if till > now then return 'closed', till end
  local wait = math.max(next_slot(now, cfg), window_opens(now, cfg)) - early(cfg) - now
  if wait > 0 then return 'wait', wait end
  return 'go', probe
end

-- Take the slot. Returns the ms until then, and the call's number.
local function pass(now, cfg, probe)
  local slot, opens = next_slot(now, cfg), window_opens(now, cfg)
  local start = now - slot <= spacing(cfg) and slot or now
  put('slot', start + spacing(cfg))
  if probe then put('probe_until', now + cfg.lease) end
  local leaves, nth = math.max(start, opens, now), num('nth', 0) + 1
  put('nth', nth)
  redis.call('HSET', LEFT, place(cfg, nth), ms(leaves))
  return leaves - now, nth
end

local function close(now, block, why, pause)
  if read_gate().block ~= block then put('block_at', now) end
  put('block', block)
  put('block_why', why)
  put('block_pause', pause)
  put('block_until', now + pause)
end

local function open()
  drop('block', 'block_at', 'block_until', 'block_pause', 'block_why')
end

-- This key is good. Keys that nobody has used for a day are forgotten: temporary ones come by the hour.
local function remember_key(now, key)
  for name, at in pairs(read_gate()) do
    local kind = string.match(name, '^(%a+):')
    if (kind == 'good' or kind == 'bad') and tonumber(at) < now - 86400000 then drop(name) end
    if kind == 'sees' then drop(name) end  -- of an earlier version: it never expired, so it was no evidence
  end
  put('good:' .. key, now)
end

local function sign_of_life(now, saw, taken)
  local g = read_gate()
  if num('failing', 0) > 0 then
    redis.call('DEL', P .. 'failing')
    drop('failing')
  end
  -- A call that left before the account was closed proves nothing about the key or the rights of now.
  if g.block and (g.block == 'outage' or taken >= num('block_at', 0)) then open() end
  if saw.key and (not g['bad:' .. saw.key] or saw.probe) then
    drop('bad:' .. saw.key)
    if now - num('good:' .. saw.key, 0) > 60000 then remember_key(now, saw.key) end
  end
  if g.throttles then
    local left = num('throttles', 0) - 0.1
    if left > 0 then put('throttles', left) else drop('throttles') end
  end
  if now - num('throttled_at', 0) > 2000 then
    if g.slow then
      local slow = num('slow', 1) * 0.97
      if slow > 1 then put('slow', slow) else drop('slow', 'throttled_until') end
    elseif num('share', START_SHARE) < MOST_SHARE then
      put('share', math.min(MOST_SHARE, num('share', START_SHARE) + 0.0002))
    end
  end
end

local function failure(now, cfg, saw, ref)
  redis.call('ZADD', P .. 'failing', ms(now), ref)
  put('failing', redis.call('ZCARD', P .. 'failing'))
  local g = read_gate()
  if g.block == 'outage' then
    if saw.probe then
      -- The signed list was answered, the deletion was not: then it is this job's own fault, and the next may be tried.
      local pause = saw.list_ok and cfg.outage_pause or math.min(num('block_pause', cfg.outage_pause) * 2, cfg.outage_pause_max)
      close(now, 'outage', saw.why, pause)
    end
  elseif not g.block and num('failing', 0) >= cfg.outage_after then
    if saw.forbidden then
      close(now, 'misconfigured', saw.why, cfg.misconfigured_pause)
    else
      close(now, 'outage', saw.why, cfg.outage_pause)
    end
  elseif g.block and saw.probe then
    close(now, g.block, g.block_why, num('block_pause', cfg.misconfigured_pause))
  end
end

-- One 429 skips a slot and gives room. Three are a cluster; ten seconds or ten good answers make up for one.
local function throttle(now, cfg, saw)
  local count = math.max(0, num('throttles', 0) - (now - num('throttled_at', now)) / 10000) + 1
  put('throttles', count)
  put('throttled_at', now)
  put('share', math.max(LEAST_SHARE, num('share', START_SHARE) - 0.01))
  put('slot', math.min(math.max(num('slot', 0), now) + spacing(cfg), now + 2 * spacing(cfg)))
  if saw.retry_after then
    put('throttled_until', math.max(num('throttled_until', 0), now + math.min(saw.retry_after, RETRY_AFTER_MOST)))
  elseif count >= 3 then
    put('slow', math.min(num('slow', 1) * 1.5, 30))
    put('throttled_until', math.max(num('throttled_until', 0), now + 1000))
  end
end

local function refuse_key(now, cfg, saw)
  local pause = saw.locked and math.max(300000, cfg.credentials_pause) or cfg.credentials_pause
  put('bad:' .. saw.key, math.max(num('bad:' .. saw.key, 0), now + pause))
  drop('good:' .. saw.key)
  close(now, 'credentials', saw.why, pause)
end

-- What one call taught us. saw: kind (ok | fail | throttled | credentials | clock | misconfigured), key, ms, probe,
-- list_ok, forbidden, retry_after (ms), skew (ms), locked, why. `taken`: when its lease was taken.
local function learn(now, cfg, saw, taken, ref)
  if saw.probe then
    drop('probe_until')
    put('slot', math.max(next_slot(now, cfg), now + spacing(cfg)))  -- its DELETE left later than its slot: after the list
  end
  if saw.ms and (saw.kind == 'ok' or saw.kind == 'throttled') then
    local before = num('call_ms', saw.ms)
    put('call_ms', before + (saw.ms - before) * 0.1)
  end
  if saw.kind == 'ok' then sign_of_life(now, saw, taken)
  elseif saw.kind == 'fail' then failure(now, cfg, saw, ref)
  elseif saw.kind == 'throttled' then throttle(now, cfg, saw)
  elseif saw.kind == 'credentials' then refuse_key(now, cfg, saw)
  elseif saw.kind == 'misconfigured' then close(now, 'misconfigured', saw.why, cfg.misconfigured_pause)
  elseif saw.kind == 'clock' then
    put('skew', saw.skew)  -- however small: it was the worker's own clock that was wrong, and Redis's is to be signed with
    put('skew_at', now)
  end
end
