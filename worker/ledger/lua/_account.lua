-- Names of one account's keys. KEYS[1] is their common prefix `NAMESPACE:{<account>}:`; nothing outside it is touched.
-- All of them, and the fields of a record, are in schema/: `K.running` is a key, `F.deadline` a field of a record.
--include _guard
local OPEN = { pending = true, running = true, held = true }  -- states that have not ended

-- Whole milliseconds, cut: what is due now must not come out as due in half a millisecond.
local texts  -- of this call: the same times are written again and again
each_call(function() texts = {} end)
local function ms(x)
  if not texts[x] then
    local whole = math.floor(x)  -- a number, where it was the text of one
    texts[x] = string.format(whole < 2 ^ 53 and whole > -2 ^ 53 and '%d' or '%.0f', whole)  -- '%d' is quick
  end
  return texts[x]
end

local function record(ref) return K.record .. ref end

-- A ref is `<project>/<id>` for a job and `<project>/<kind>:<id>` for every other kind, whose pace is its own: so what
-- is pending of it waits in a queue of its own.
local function kind_of(ref) return string.find(ref, ':', 1, true) and string.match(ref, '/([%w_]+):') end
local function project_of(ref) return string.sub(ref, 1, (string.find(ref, '/', 1, true) or #ref + 1) - 1) end
local function queue_of(lane, ref)
  local kind = kind_of(ref)
  return (lane == 'user' and lane or 'bulk') .. (kind and ':' .. kind or '')
end

-- A deletion stands in exactly one index, and this is it.
local function index_of(state, lane, ref)
  if state == 'pending' then return K.due .. queue_of(lane, ref) end
  return KEYS[1] .. state
end

-- What is of another kind than jobs is counted by its state, so that people see jobs and parts apart. nil: it comes, goes.
local function count_part(ref, from, to)
  if not kind_of(ref) then return end
  if from then redis.call('HINCRBY', K.parts, from, -1) end
  if to then redis.call('HINCRBY', K.parts, to, 1) end
end
--include _archived
--include _damage
--within
