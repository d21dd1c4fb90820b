-- check: do an account's records and indexes fit together? Where the record says how, they are put right; what makes no
--        sense is put aside (see _damage.lua). Nothing happens to what is as it has to be.
--   KEYS[1]  the account's prefix
--   ARGV     caller, operation number, options (JSON: keys (bool: look at the kinds of the account's own keys), lease
--   (ms)),
--            then up to 500 refs, found as records or in indexes
--   returns  {"now", "damage": what was found, see _once.lua}
--include _drains
--include _once
--include _groups
--include _replays
--include _sound_replay
--include _erasure
--include _marks
local LONGEST, LONGEST_LEASE = 400 * 86400000, 86400000  -- ms from now: nothing is due, and no lease ends, later than that
local MOST = 1000  -- of one kind; of more some by chance, so that all have their turn

local function must_be(kind, name)
  local found = redis.call('TYPE', KEYS[1] .. name).ok
  if found == kind or found == 'none' then return end
  if name == 'damaged' then redis.call('DEL', spoilt.list) else spoilt.wrong_kind(KEYS[1] .. name) end
end

local function kinds()
  for name, kind in pairs(KEY_TYPES) do must_be(kind, name) end
  for family, one in pairs(FAMILY_TYPES) do
    local ids = one.index == K.groups and redis.call('HKEYS', one.index) or redis.call('ZRANDMEMBER', one.index, MOST)
    for _, id in ipairs(ids) do must_be(one.type, family .. id) end
  end
end

-- Numbers of a hash, and ids of entries of the stream.
local function values(key, fields)
  for field, kind in pairs(fields) do
    local value = redis.call('HGET', key, field)
    local good = not value or (kind == 'number' and number(value)) or (kind == 'id' and string.match(value, '^%d+%-%d+$'))
    if not good then
      damage(string.sub(key, #KEYS[1] + 1) .. ' ' .. field, 'it cannot be', value)
      redis.call('HDEL', key, field)
    end
  end
end

local function counters()
  local fields = {}
  for _, field in ipairs(redis.call('HKEYS', K.counters)) do fields[field] = 'number' end
  values(K.counters, fields)
end

local function replays(now)
  for _, index in ipairs({ K.replays, K.replays_feeding }) do
    for _, id in ipairs(redis.call('ZRANGE', index, 0, -1)) do
      sound_replay(id)
      end_if_over(replay_key(id), id, now)  -- a letter that was put aside may have been the last
      local v = redis.call('HMGET', replay_key(id), 'state', 'cursor', 'total')
      local driven = v[1] == 'stopping' or (v[1] == 'running' and v[2] ~= v[3])
      if driven and redis.call('ZADD', K.replays_feeding, 'NX', ms(now), id) == 1 then
        spoilt.tell('replay:' .. id, 'it was to be driven, and stood in no index: put back')
      end
    end
  end
end

-- It stands nowhere, or at no time that could come: where to put it is known, but for a time that somebody chose. A
-- lease ends as if it had begun now: a call may be under way.
local function put_back(ref, r, now)
  local state = r[F.state]
  local chosen = state == 'held' or (state == 'pending' and r[F.waiting_for] == 'grace')
  if chosen and not r[F.calls] then return put_aside(ref, 'when it is due was lost') end
  local at = not OPEN[state] and r[F.finished_at] or ms(state == 'running' and now + options.lease or now)
  redis.call('ZADD', index_of(state, r[F.lane], ref), at, ref)
  spoilt.tell(ref, 'it stood in no index: put back among the ' .. state .. ' ones')
end

-- Where it stands, and what it named, is known by its record.
local function check_erasure(ref, now)
  local v = redis.call('HMGET', erasure(ref), E.verdict, E.closed_at)
  if redis.call('EXISTS', erasure(ref)) == 0 then  -- what is to be looked at comes up by itself
    if redis.call('ZREM', K.left_behind, ref) == 1 then damage('erasure:' .. ref, 'it left something behind, and nothing is known of that') end
    return
  end
  local at = number(redis.call('ZSCORE', K.erasures, ref) or nil)
  if is_open(ref) and (not at or at > now + LONGEST) then
    redis.call('ZADD', K.erasures, ms(now), ref)
    spoilt.tell(ref, 'what it left behind was to be looked for, and stood in no index, or at no time that could come')
  end
  if (v[1] == 'partial' or v[1] == 'incomplete') and not redis.call('ZSCORE', K.left_behind, ref) then
    redis.call('ZADD', K.left_behind, ms(number(v[2], now)), ref)
    spoilt.tell(ref, 'it left something behind, and stood in no index')
  end
  local _, ids = parts_of(ref)
  for _, id in ipairs(ids) do
    local many, named = sharers(id)
    if not many and named ~= ref then
      name_part(id, ref)
      spoilt.tell(ref, 'nobody knew that it had named ' .. id)
    end
  end
end

local function check(ref, now)
  local r, score = sound(ref), nil
  local own = r and index_of(r[F.state], r[F.lane], ref)
  for index in pairs(spoilt.state_of) do
    local key = KEYS[1] .. index
    local at = redis.call('ZSCORE', key, ref)
    if at and not r then return put_aside(ref, 'its record is missing') end
    if at and (key ~= own or r.archived) then
      redis.call('ZREM', key, ref)
      spoilt.tell(ref, 'it stood in ' .. index .. ' though it is ' .. (r.archived and 'archived' or r[F.state]))
    elseif at then
      score = number(at)
      local most = r[F.state] == 'running' and LONGEST_LEASE or LONGEST
      if score and (score > now + most or score < 0) then score = nil end
    end
  end
  if not r or r.archived then return end
  if forget_other_mark(ref) then spoilt.tell(ref, 'it has a record though it was archived') end
  if not score then put_back(ref, r, now) end
  if r[F.state] == 'deleted' or r[F.state] == 'gone' then check_erasure(ref, now) end
  if r[F.state] == 'dead' and not redis.call('ZSCORE', K.group_letters .. (r[F.group] or ''), ref) then
    joins_group(ref, r[F.finished_at] or ms(now))
  end
end

return once(function(now)
  for i = 4, #ARGV do
    if not spoilt.is_ref(ARGV[i]) then put_aside(ARGV[i], 'its name is no project and id')
    elseif redis.call('HEXISTS', spoilt.list, ARGV[i]) == 0 then check(ARGV[i], now) end
  end
  if options.keys then
    kinds()
    values(K.receipts_chain, { n = 'number', sealed_n = 'number', sealed_id = 'id', archived_n = 'number', archived_id = 'id', redacted = 'number', day = 'number', records_n = 'number' })
    values(K.account, { schema = 'number', outbox = 'number' })
    counters()
    replays(now)
  end
  return {}
end)
