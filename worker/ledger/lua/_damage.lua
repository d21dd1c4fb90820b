-- Before a deletion is worked with its record is read, by `sound` or `belongs`, or by a move that knows it well enough
-- to see that nothing is wrong with it. One that makes no sense leaves its key and every index: to all moves it is
-- unknown then, and stands among what was damaged (see _guard.lua).
local sound, belongs, put_aside, numbers
do
local INDEXES = ALL_INDEXES
spoilt.indexes = INDEXES

local function sum(a, b, c, d, e, f, g, h) return a + b + (c or 0) + (d or 0) + (e or 0) + (f or 0) + (g or 0) + (h or 0) end

-- Are these numbers, the first two at any rate and the others where they are there? At most eight.
function numbers(...)
  local ok, x = pcall(sum, ...)
  return ok and x - x == 0
end

-- The fields that `sound` and `belongs` read. LEGAL says what each has to be, where it is there.
local FIELDS = { F.state, F.lane, F.outcome_unknown, F.seen, F.unsent, F.app_user_hash, F.owner_hash, F.cancel_requested, F.claims, F.before_replay, F.replay, F.requested_at, F.deadline, F.round,
  F.attempts_used, F.calls, F.leases_lost, F.not_deletable_count, F.refused_count, F.lookup_count, F.empty_lookup_count, F.finished_at, F.taken_at, F.previous_due, F.held_since, F.call_ends_at, F.death_number }
local FIRST_NUMBER = 12
local LEGAL, STATES, LANES, FLAG
local function know_fields()
  LANES, FLAG = { user = true, bulk = true }, { ['0'] = true, ['1'] = true, [false] = true }
  STATES = { pending = true, running = true, held = true, deleted = true, gone = true, dead = true, cancelled = true,
    discarded = true }

  local function flag(x) return FLAG[x] end
  local function hash(x) return x == '-' or (#x == 32 and string.match(x, '^%x+$')) end  -- else it is on no hold list
  local function are_claims(list)
    if type(list) ~= 'table' or #list == 0 then return false end
    for _, claim in ipairs(list) do
      if type(claim) ~= 'table' or not LANES[claim.lane] then return false end
      if not (number(claim.at) and number(claim.due) and number(claim.dl)) then return false end
    end
    return true
  end
  local function before(x)  -- what a letter was before its replay (see requeue_batch.lua)
    local r = x ~= '-' and table_of(x)
    for name, value in pairs(r or {}) do
      if name ~= F.claims and type(value) ~= 'string' then return false end
    end
    return x == '-' or (r and are_claims(r.claims))
  end

  LEGAL = { [F.lane] = function(x) return LANES[x] end, [F.state] = function(x) return STATES[x] end, [F.outcome_unknown] = flag, [F.seen] = flag,
    [F.unsent] = flag, [F.app_user_hash] = hash, [F.owner_hash] = hash, [F.claims] = function(x) return are_claims(table_of(x)) end, [F.before_replay] = before,
    [F.cancel_requested] = function(x) return x == 'cancel' end }
  for i = FIRST_NUMBER, #FIELDS do LEGAL[FIELDS[i]] = number end
end

-- Could the moves work with this value of this field?
function spoilt.fits(name, x)
  if not LEGAL then know_fields() end
  return not LEGAL[name] or LEGAL[name](x)
end

-- Is nothing wrong with it at first sight? What is seldom there is looked at more closely.
local function plain(v)
  return STATES[v[1]] and LANES[v[2]] and FLAG[v[3]] and FLAG[v[4]] and FLAG[v[5]] and (not v[6] or LEGAL[F.app_user_hash](v[6]))
    and (not v[7] or LEGAL[F.owner_hash](v[7])) and not (v[8] or v[9] or v[10] or v[11]) and numbers(unpack(v, 12, 19))
    and numbers(0, 0, unpack(v, 20, 25)) and numbers(0, 0, v[26], v[27])
end

local OPEN = { ['due:user'] = true, ['due:bulk'] = true, pending = true, running = true, held = true }
local function is_replay(id) return redis.call('EXISTS', K.replay .. id) == 1 end

-- A replay waits for no letter that is put aside. One of which is lost who fed it was fed by each that has it in its
-- list. Returns whether one waited.
local function leave_replays(ref, stood_in)
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
      if stood_in == 'held' then redis.call('HINCRBY', R, 'held', -1) end
      if v[2] or not v[1] then redis.call('HINCRBY', R, 'aside', 1) end
      waited = true
    end
  end
  return waited
end

function put_aside(ref, why, value)
  local stood_in
  for _, index in ipairs(INDEXES) do
    if redis.call('ZREM', P .. index, ref) == 1 and OPEN[index] then stood_in = index end
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
end

local NEEDED = { [F.state] = true, [F.lane] = true, [F.requested_at] = true, [F.deadline] = true }
local function look_closely(ref, v)
  for i, name in ipairs(FIELDS) do
    if not v[i] and NEEDED[name] then return put_aside(ref, 'its record has no field ' .. name) end
    if v[i] and not spoilt.fits(name, v[i]) then return put_aside(ref, 'its field ' .. name .. ' cannot be', v[i]) end
  end
  local replay = v[11]
  if replay and OPEN[v[1]] and not is_replay(replay) then
    if leave_replays(ref, v[1]) then damage(ref .. ' ' .. F.replay, 'there is no such replay', replay) end
    redis.call('HDEL', record(ref), F.replay, F.before_replay)
  end
  return v
end

function spoilt.is_ref(text) return string.match(text, '^[%w_-]+/[%w_-]+$') end

-- Some of its record. nil: nobody asked for it, or what was there makes no sense and is put aside.
function sound(ref)
  if redis.call('EXISTS', record(ref)) == 0 then return nil end
  if not LEGAL then know_fields() end
  local v = redis.call('HMGET', record(ref), unpack(FIELDS))
  return plain(v) and v or look_closely(ref, v)
end

-- Is one that stands in an index what it stands for? Where it is of another state (or lane), it leaves that index.
function belongs(ref, state, lane)
  if not spoilt.is_ref(ref) then return put_aside(ref, 'its name is no project and job') end
  if redis.call('EXISTS', record(ref)) == 0 then return put_aside(ref, 'its record is missing') end
  local v = sound(ref)
  if not v then return nil end
  if v[1] == state and (state ~= 'pending' or v[2] == lane) then return true end
  redis.call('ZREM', index_of(state, lane), ref)
  spoilt.tell(ref, 'it stood among the ' .. state .. ' ones though it is ' .. v[1])
end

-- A call for it was under way: what MetaStudio answered is not lost with its record.
function spoilt.note_answer(ref, outcome)
  local said = redis.call('HGET', spoilt.list, ref)
  if not said then return end
  local entry = table_of(said) or {}
  entry.answer = outcome
  redis.call('HSET', spoilt.list, ref, cjson.encode(entry))
end
end
