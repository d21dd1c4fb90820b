-- Names of one account's keys. KEYS[1] is their common prefix `NAMESPACE:{<account>}:`; nothing outside it is touched.
-- All of them, and the fields of a record, are in schema/: `K.running` is a key, `F.deadline` a field of a record.
--include _guard
local P = KEYS[1]
local OPEN = { pending = true, running = true, held = true }  -- states that have not ended

-- Whole milliseconds, cut: what is due now must not come out as due in half a millisecond.
local function ms(x) return string.format('%.0f', math.floor(x)) end

local function record(ref) return K.record .. ref end

-- A deletion stands in exactly one index, and this is it.
local function index_of(state, lane)
  if state == 'pending' then return lane == 'user' and K.due_user or K.due_bulk end
  return P .. state
end
--include _damage
--within
