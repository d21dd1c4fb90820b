-- A move reads the record of a deletion once, by `sound` or `belongs`, and goes by what that returns: `r[F.state]` is
-- its state as it was when the move began. A record that makes no sense leaves its key and every index: to all moves it
-- is unknown then, and stands among what was damaged (see _guard.lua).
local sound, belongs
do
spoilt.state_of = STATE_OF_INDEX

-- What each type of the schema has to be, so that the moves can work with it.
local function is_state(x) return x == 'pending' or spoilt.state_of[x] == x end
local function is_lane(x) return x == 'user' or x == 'bulk' end
local function is_flag(x) return x == '0' or x == '1' end
local function is_cancel(x) return x == 'cancel' end
local function is_hash(x) return x == '-' or (#x == 32 and string.match(x, '^%x+$')) end  -- else it is on no hold list

local function is_list_of_claims(list)
  if type(list) ~= 'table' or #list == 0 then return false end
  for _, claim in ipairs(list) do
    if type(claim) ~= 'table' or not is_lane(claim.lane) then return false end
    if not (number(claim.at) and number(claim.due) and number(claim[F.deadline])) then return false end
  end
  return true
end

local function is_claims(x) return is_list_of_claims(table_of(x)) end

local function is_round_before(x)  -- what a letter was before its replay (see requeue_batch.lua)
  local before = x ~= '-' and table_of(x)
  for name, value in pairs(before or {}) do
    if name ~= F.claims and type(value) ~= 'string' then return false end
  end
  return x == '-' or (before and is_list_of_claims(before[F.claims]))
end

local LEGAL = FIELD_CHECKS

-- Could the moves work with this value of this field?
function spoilt.fits(name, x) return not LEGAL[name] or LEGAL[name](x) end

local function is_replay(id) return redis.call('EXISTS', K.replay .. id) == 1 end

-- A replay waits for no letter that is put aside. Where the record does not say which replay fed it, each one that has
-- the letter in its list did. Returns whether one waited.
local function leave_replays(ref, state)
  local v, waited = redis.call('HMGET', record(ref), F.replay, F.before_replay), false
  if v[1] and not is_replay(v[1]) then v[1] = nil end
  local ids = v[1] and { v[1] } or redis.call('ZRANGE', K.replays, 0, -1)
  for _, id in ipairs(ids) do
    local R = K.replay .. id
    local w = redis.call('HMGET', R, 'open', 'cursor')
    local place = not v[1] and redis.call('LPOS', K.replay_refs .. id, ref)
    if number(w[1], 0) > 0 and (v[1] or (place and place < number(w[2], 0))) then
      redis.call('HINCRBY', R, 'open', -1)
      redis.call('HINCRBY', R, 'damaged', 1)
      if state == 'held' then redis.call('HINCRBY', R, 'held', -1) end
      if v[2] or not v[1] then redis.call('HINCRBY', R, 'aside', 1) end
      waited = true
    end
  end
  return waited
end

-- Returns false.
function put_aside(ref, why, value)
  local stood_in
  for index, state in pairs(spoilt.state_of) do
    if redis.call('ZREM', KEYS[1] .. index, ref) == 1 then
      count_part(ref, state)
      if OPEN[state] then stood_in = state end
    end
  end
  if not stood_in then  -- it stood nowhere: where it says that it is
    local state = redis.call('HGET', record(ref), F.state)
    stood_in = OPEN[state] and state
  end
  if stood_in then leave_replays(ref, stood_in) end
  for _, index in ipairs({ K.owner_unknown, K.discarded_users, K.failing, K.forbidden }) do redis.call('ZREM', index, ref) end
  for _, group in ipairs(redis.call('HKEYS', K.groups)) do
    redis.call('ZREM', K.group_letters .. group, ref)
    redis.call('ZREM', K.group_deadlines .. group, ref)
    if redis.call('EXISTS', K.group_letters .. group) == 0 then redis.call('HDEL', K.groups, group) end
  end
  if redis.call('EXISTS', record(ref)) == 1 then redis.call('RENAME', record(ref), K.put_aside .. ref) end
  damage(ref, why, value)
  redis.call('HINCRBY', K.counters, 'deletion.damaged', 1)
  return false
end

function spoilt.is_ref(text) return string.match(text, '^[%w_-]+/[%w_-]+:?[%w_-]*$') end

-- Its record, or what is left of it (see _archived.lua): then it has to be brought back before anything is written.
-- nil: nobody asked for it; false: what was there makes no sense, and is put aside.
local NEEDED = { F.state, F.lane, F.requested_at, F.deadline }
function sound(ref)
  local before = #spoilt.found
  local flat, r = redis.call('HGETALL', record(ref)), {}
  if #flat == 0 and #spoilt.found == before then return archived(ref) end
  for i = 1, #flat, 2 do
    local name, value = flat[i], flat[i + 1]
    local fits = LEGAL[name]
    if fits and not fits(value) then return put_aside(ref, 'its field ' .. name .. ' cannot be', value) end
    r[name] = value
  end
  for i = 1, #NEEDED do
    if not r[NEEDED[i]] then return put_aside(ref, 'its record has no field ' .. NEEDED[i]) end
  end
  local replay = r[F.replay]
  if replay and OPEN[r[F.state]] and not is_replay(replay) then
    if leave_replays(ref, r[F.state]) then damage(ref .. ' ' .. F.replay, 'there is no such replay', replay) end
    redis.call('HDEL', record(ref), F.replay, F.before_replay)
    r[F.replay], r[F.before_replay] = nil, nil
  end
  return r
end

-- The record of one that stands in an index, if it is what it stands for there. One of another state (or lane) leaves
-- that index.
function belongs(ref, state, lane)
  if not spoilt.is_ref(ref) then return put_aside(ref, 'its name is no project and id') end
  local r = sound(ref)
  if r == nil then return put_aside(ref, 'its record is missing') end
  if not r or (not r.archived and r[F.state] == state and (state ~= 'pending' or r[F.lane] == lane)) then return r end
  redis.call('ZREM', index_of(state, lane, ref), ref)
  spoilt.tell(ref, 'it stood among the ' .. state .. ' ones though it is ' .. (r.archived and 'archived' or r[F.state]))
end

-- A call for it was under way: what MetaStudio answered is not lost with its record.
function spoilt.note_answer(ref, outcome)
  local text = redis.call('HGET', spoilt.list, ref)
  if not text then return end
  local entry = table_of(text) or {}
  entry.answer = outcome
  redis.call('HSET', spoilt.list, ref, cjson.encode(entry))
end
end
