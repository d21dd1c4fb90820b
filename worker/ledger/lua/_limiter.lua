-- The pace of a family of calls (see `own` in _gate.lua): DELETEs on an even grid below the limit, and no more calls under way than that needs.
--
--   slot, look_slot      the next free slot of DELETE, of GET
--   left                 when the last calls left, see window_opens()
--   nth                  how many DELETEs were let through; see `left` below
--   share, slow, throttled_until, throttles, throttled_at    how far below the limit we stay, and what 429s taught us
--   call_ms              moving average of a call's length
--   prepare_ms           how long what is asked right before a DELETE takes, nine times of ten
local spacing, spacing_of_all, long, young, running, one_more_runs, full, window_opens, next_slot, record_departure, guess_preparation, record_preparation, lasts, early, early_to_settle, wait_for_slot, enough_at_work, without_place, reserve, depart, throttle, recover
do

local START_SHARE, MOST_SHARE, LEAST_SHARE = 0.985, 0.99, 0.90
local RETRY_AFTER_MOST = 15 * 60 * 1000

local spacings  -- by a kind's knobs, until a 429 or a good answer changes them
each_call(function() spacings = {} end)
function spacing(cfg)
  if not spacings[cfg] then spacings[cfg] = cfg.interval / num(own(cfg, 'share'), START_SHARE) * num(own(cfg, 'slow'), 1) end
  return spacings[cfg]
end
local function change_pace(cfg, name, value)
  put(own(cfg, name), value)
  spacings = {}  -- several kinds may share the family
end

-- The time between two slots where all kinds that wait are called.
function spacing_of_all(cfg)
  local others, a_ms = waiting_kinds(cfg), 0
  if not others[2] then return spacing(cfg) end
  for _, each in ipairs(others) do a_ms = a_ms + 1 / spacing(each) end
  return 1 / a_ms
end

-- Are as many calls under way as may be? What the pace needs at the present length of a call, and a few more: a dead
-- account keeps the length it had while it lived, so it cannot fill every thread. Calls that last far longer than
-- others did stand aside, up to OLD_MOST: jobs that are never answered must not stop the others.
local LONG, OLD_MOST = 1000, 6  -- ms, calls
function lasts(cfg) return num('call_ms', 0) + num(own(cfg, 'prepare_ms'), 0) end
function long(cfg) return math.max(LONG, 5 * num('call_ms', 0)) end
function young(now, cfg) return redis.call('ZCOUNT', K.running, ms(now + cfg.lease - long(cfg)), '+inf') end
local runs  -- how many are leased, once it was counted
each_call(function() runs = nil end)
function running()
  runs = runs or redis.call('ZCARD', K.running)
  return runs
end
function one_more_runs() runs = runs and runs + 1 end
local function most_at(cfg, pace) return math.min(cfg.max_calls, 4 + math.ceil(2 * lasts(cfg) / pace)) end
function full(now, cfg)
  if running() < most_at(cfg, spacing(cfg)) then return false end
  local most = most_at(cfg, spacing_of_all(cfg))
  if runs < most or runs >= most + OLD_MOST then return runs >= most end
  return young(now, cfg) >= most
end

-- Slots stand on an even grid. Threads are late for theirs by what a busy machine makes of it, and that must neither
-- add up nor crowd the limit. So the grid stays where calls were late by less than a slot, and the limit itself is
-- watched: `left` (',<ms>' for each place) has when the last second's calls left, as planned at first, then as the executor
-- says (see record_departure()). The next call leaves a second, and a part of the room that the spacing leaves free in
-- one, after the one that stands in its place. Of a pace of more than PLACES calls a second only each so many-th has a
-- place. A call before which something is asked has a slot from its take on, and its place right before it leaves (see
-- depart()).
local a_second, watched, left_at, put_left
do
local PLACES, WIDTH, WHEN_LEFT = 128, 14, ',%013d'
function a_second(cfg) return cfg.interval < 1000 and math.floor(1000 / cfg.interval + 0.5) or 1 end
-- Each so many-th call has a place, and how many there are: with the calls between two no more than a second's.
local steps, counts  -- by a kind's knobs
each_call(function() steps, counts = {}, {} end)
local function places(cfg)
  if not steps[cfg] then
    steps[cfg] = math.ceil(a_second(cfg) / PLACES)
    counts[cfg] = math.floor((a_second(cfg) + 1) / steps[cfg]) - 1
  end
  return steps[cfg], counts[cfg]
end
-- Does the call still stand in its place, or another one by now?
function watched(cfg, nth)
  local each, many = places(cfg)
  return nth > num(own(cfg, 'nth'), 0) - many * each
end

-- Where the call stands in `left`, and how long that is; nil: it has no place.
local function place(cfg, nth)
  local each, many = places(cfg)
  if nth % each == 0 then return nth / each % many * WIDTH, many * WIDTH end
end
function left_at(cfg, nth)
  local at = place(cfg, nth)
  return at and number(string.sub(read_gate()[own(cfg, 'left')] or '', at + 2, at + WIDTH), 0) or 0
end
function put_left(cfg, nth, when)
  local at, size = place(cfg, nth)
  if not at then return end
  local left = read_gate()[own(cfg, 'left')] or ''
  if #left ~= size then left = string.sub(left .. string.rep(string.format(WHEN_LEFT, 0), size / WIDTH), 1, size) end
  put(own(cfg, 'left'), string.sub(left, 1, at) .. string.format(WHEN_LEFT, math.floor(when + 0.5)) .. string.sub(left, at + WIDTH + 1))
end
end

local MOST_ROOM = 0.3  -- of a second: whoever is slowed down is so by the spacing
local AHEAD = 200      -- ms, and a second where calls get their places late: none stands further ahead; Redis's clock went back
-- `others`: so many leave before it.
function window_opens(now, cfg, others)
  local window = a_second(cfg) * cfg.interval
  local left = left_at(cfg, num(own(cfg, 'nth'), 0) + 1 + others)
  if left > now + AHEAD + (read_gate()[own(cfg, 'prepare_ms')] and window or 0) then return 0 end
  local room = math.min(MOST_ROOM, spacing(cfg) / cfg.interval - 1)
  return left + window * (1 + 0.6 * room)
end

-- The next slot. One that is further away than any of our making is of another clock, or of another rate: it binds
-- nobody.
function next_slot(now, cfg)
  local slot = num(own(cfg, 'slot'), 0)
  return slot > now and slot - now > 3 * spacing(cfg) + 2 * early(cfg) and now or slot
end

-- So many calls have a slot before the next one and no place yet: each takes its place CHECK ms before its slot.
local CHECK = 20  -- ms, the executor's CHECK_S
function without_place(now, cfg)
  if not read_gate()[own(cfg, 'prepare_ms')] then return 0 end
  return math.max(0, math.min(a_second(cfg) - 1, math.floor((next_slot(now, cfg) - CHECK - now) / spacing(cfg))))
end

-- A call left `late` ms after it was taken: the executor measured it. One that took longer than others may have come to
-- the server so much later. Nothing was sent: nil, and its place is free.
local ON_THE_WAY = 50  -- ms, at most: a slow answer is no late arrival
function record_departure(cfg, nth, taken, late, took)
  if not watched(cfg, nth) then return end
  if not late then return put_left(cfg, nth, 0) end
  local longer = math.max(0, math.min(ON_THE_WAY, took - num('call_ms', took)))
  put_left(cfg, nth, taken + late + longer)
end

-- An executor comes a little before its slot and waits for the rest under its lease: a thread that wakes late on a busy
-- machine is then still in time. Holds and cancels bind until then.
-- What is asked before the DELETE is asked before its slot, too: so the slot is used whatever that takes.
-- Where slots are closer than that, the next few are taken at once: to ask again for each would cost more than the call.
local EARLY, LEAST_EARLY = 20, 5  -- ms
function early(cfg)
  return math.min(EARLY, math.max(spacing(cfg) / 4, LEAST_EARLY)) + num(own(cfg, 'prepare_ms'), 0)
end

-- So it would where a call ends between two slots: whoever settles it takes the next one at once. Only where the account
-- has nothing but jobs to call for that nobody asks about: people, and other kinds, would have to wait for the slot after it.
local EARLY_TO_SETTLE, LEAST_EARLY_TO_SETTLE = 150, 10  -- ms
local PEOPLE_ASK = 60000  -- ms: for so long after a person's deletion went
local function nothing_else(now, cfg)
  return not cfg.own and not read_gate().prepare_ms and math.abs(now - num('person_at', 0)) > PEOPLE_ASK
    and not waiting_kinds(options.gate)[2]
end
function early_to_settle(now, cfg)
  if not nothing_else(now, cfg) then return early(cfg) end
  return math.max(LEAST_EARLY_TO_SETTLE, math.min(EARLY_TO_SETTLE, spacing(cfg)))
end

-- How long until whoever comes so long before its slot may take one; 0 or less: now.
function wait_for_slot(now, cfg, before)
  return math.max(next_slot(now, cfg), window_opens(now, cfg, without_place(now, cfg))) - before - now
end

-- Are those at work enough? No slot has passed, and as many calls as the pace needs are under way, whose executors take
-- the next slots when they settle: whoever came to wait for one would never get it.
function enough_at_work(now, cfg)
  if next_slot(now, cfg) <= now or lasts(cfg) == 0 or not nothing_else(now, cfg) then return false end
  local since = EARLY_TO_SETTLE + 3 * lasts(cfg)
  return redis.call('ZCOUNT', K.running, ms(now + cfg.lease - since), '+inf') >= 1.1 * lasts(cfg) / spacing(cfg)
end

-- How long nine of ten take: one that took longer lifts it by a tenth, one that did not lowers it by a seventh of that.
-- Nothing is known yet: about two answers. An outlier binds nobody for long.
local FIRST_GUESS, MOST_PREPARED = 100, 1000  -- ms
function guess_preparation(cfg) if not read_gate()[own(cfg, 'prepare_ms')] then put(own(cfg, 'prepare_ms'), FIRST_GUESS) end end
function record_preparation(cfg, took)
  local before = num(own(cfg, 'prepare_ms'), 0)
  local after = took > before and math.min(before * 1.1 + 5, MOST_PREPARED) or before * 0.985
  if after ~= before then put(own(cfg, 'prepare_ms'), after) end
end

-- Take the slot, also one that has just passed: a thread that is late for it moves nobody's. Returns the ms until then.
function reserve(now, cfg)
  local slot, step = next_slot(now, cfg), spacing(cfg)
  local start = now - slot <= step and slot or now
  put(own(cfg, 'slot'), start + step)
  return math.max(0, start - now)
end

-- Take a place, `ahead` ms before the call leaves. Returns the ms until it may, and the call's number.
function depart(now, cfg, ahead)
  local leaves, nth = math.max(now + ahead, window_opens(now, cfg, 0)), num(own(cfg, 'nth'), 0) + 1
  put(own(cfg, 'nth'), nth)
  put_left(cfg, nth, leaves)
  return leaves - now, nth
end

-- One 429 skips a slot and gives room. Three are a cluster; ten seconds or ten good answers make up for one.
function throttle(now, cfg, saw)
  local count = math.max(0, num(own(cfg, 'throttles'), 0) - (now - num(own(cfg, 'throttled_at'), now)) / 10000) + 1
  put(own(cfg, 'throttles'), count)
  put(own(cfg, 'throttled_at'), now)
  change_pace(cfg, 'share', math.max(LEAST_SHARE, num(own(cfg, 'share'), START_SHARE) - 0.01))
  put(own(cfg, 'slot'), math.min(math.max(num(own(cfg, 'slot'), 0), now) + spacing(cfg), now + 2 * spacing(cfg)))
  if saw.retry_after then
    put(own(cfg, 'throttled_until'), math.max(num(own(cfg, 'throttled_until'), 0), now + math.min(saw.retry_after, RETRY_AFTER_MOST)))
  elseif count >= 3 then
    change_pace(cfg, 'slow', math.min(num(own(cfg, 'slow'), 1) * 1.5, 30))
    put(own(cfg, 'throttled_until'), math.max(num(own(cfg, 'throttled_until'), 0), now + 1000))
  end
end

-- A DELETE was answered.
function recover(now, cfg)
  if read_gate()[own(cfg, 'throttles')] then
    local left = num(own(cfg, 'throttles'), 0) - 0.1
    if left > 0 then put(own(cfg, 'throttles'), left) else drop(own(cfg, 'throttles')) end
  end
  if now - num(own(cfg, 'throttled_at'), 0) <= 2000 then return end
  if read_gate()[own(cfg, 'slow')] then
    local slow = num(own(cfg, 'slow'), 1) * 0.97
    change_pace(cfg, 'slow', slow > 1 and slow or nil)
    if slow <= 1 then drop(own(cfg, 'throttled_until')) end
  elseif num(own(cfg, 'share'), START_SHARE) < MOST_SHARE then
    change_pace(cfg, 'share', math.min(MOST_SHARE, num(own(cfg, 'share'), START_SHARE) + 0.0002))
  end
end

end
