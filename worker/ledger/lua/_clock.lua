--include _guard
--include _time
-- The ledger's time. It is Redis's clock as long as the caller's agrees with it, and it never steps because one clock
-- did.
--   clock  hash  raw   Redis's clock (ms) when a worker last looked
--                ahead how far it was ahead of the ledger's time then (ms); 0 while the clocks agree
--                check where to go on looking for what was dated by a clock that erred (see redate.lua)
--
-- The caller says with its operation number what time it is by its own clock, and by MetaStudio's if it knows that:
-- `17 @1795703237000 @1795703237412`. One of the two has to be within a minute of Redis's. Otherwise
--   * the ledger's time goes on from where a worker last saw it: as fast as Redis's clock where that goes on, and where
--   it
--     stepped, or no worker looked for a minute, only as far as the caller's clock has come, too;
--   * what time alone sets free or ends has to wait: clocks_agree() is false.
-- So a clock that jumped, whichever it is, delays and never releases.
local MINUTE = 60000
local raw_time, ledger_time, last_time  -- Redis's clock; the ledger's time; the same when a worker last looked, or nil
local agreed, looked                    -- do the clocks agree; did a worker look within the last minute, by either clock
local kept_read, kept_raw, kept_ahead, to_check    -- as the hash has them, once it was read
each_call(function() raw_time, ledger_time, last_time, agreed, looked, kept_read, kept_raw, kept_ahead, to_check = nil end)

-- The caller's clock, or MetaStudio's: whichever is nearer to Redis's. nil: the caller named none.
local function callers_clock(raw)
  local nearest
  for stamp in string.gmatch(ARGV[2] or '', ' @(%d+)') do
    local at = tonumber(stamp)
    if not nearest or math.abs(at - raw) < math.abs(nearest - raw) then nearest = at end
  end
  return nearest
end

local function within_a_minute(passed) return passed ~= nil and passed >= 0 and passed <= MINUTE end

-- What was written down last: needed only where clocks disagree, or by whoever writes it down anew.
local function read_kept()
  if kept_read then return end
  local v, theirs = redis.call('HMGET', K.clock, 'raw', 'ahead', 'check'), callers_clock(raw_time)
  kept_read, kept_raw, kept_ahead, to_check = true, number(v[1]), number(v[2]), v[3] or nil
  if not kept_ahead then kept_raw = nil end
  last_time = kept_raw and kept_raw - kept_ahead
  looked = within_a_minute(kept_raw and raw_time - kept_raw) or within_a_minute(last_time and theirs and theirs - last_time)
end

-- later: for whoever only writes down when something may begin. Of two clocks that disagree, and nobody looked, the
-- later one: redate.lua will put it right. Everybody else takes the earlier one.
local function clock(later)
  if ledger_time then return ledger_time end
  local raw = redis_time()
  local theirs = callers_clock(raw)
  raw_time, agreed = raw, not theirs or math.abs(raw - theirs) <= MINUTE
  if agreed then
    ledger_time = raw
    return raw
  end
  read_kept()
  local passed = kept_raw and raw - kept_raw
  if not kept_raw then ledger_time = raw
  elseif within_a_minute(passed) then ledger_time = last_time + passed
  elseif later and not looked then ledger_time = math.max(raw, theirs)
  else ledger_time = last_time + math.max(0, math.min(passed, theirs - last_time)) end
  return ledger_time
end

-- May time alone release or end anything now?
local function clocks_agree()
  clock()
  return agreed
end

-- A program that is no worker wrote dates. If no worker looked lately, the next one checks whether they were right.
local function note_writing()
  read_kept()
  if not kept_raw then redis.call('HSET', K.clock, 'raw', string.format('%.0f', raw_time), 'ahead', 0)
  elseif not looked and not to_check then redis.call('HSET', K.clock, 'check', '1 0') end
end

-- What an answer says of the clocks, where there is anything to say.
local function tell_clocks(answer)
  if not ledger_time then return end
  local ahead = math.floor(raw_time - ledger_time + 0.5)
  if ahead ~= 0 then answer.ahead = ahead end
  if not agreed then answer.apart = true end
end
