--include _transition
-- Settle: what became of a lease. Only the holder of the token may, but for a 200: that wins whenever it comes.
local LOOK_AGAIN = 60000  -- ms; for one that was withdrawn, where the last attempt of its budget was made

-- A run of a policy, and a replay, count how their deletions ended; one that ends otherwise later is counted anew.
local OPEN = { pending = true, running = true, held = true }
local function tally(k, from, to, now)
  local replay = redis.call('HGET', k, F.replay)
  if replay then count_replay_end(k, replay, from, to, now) end
  count_outcome(k, to, 1)
  if not OPEN[from] then count_outcome(k, from, -1) end
end

-- It has ended: it is final, dead or discarded. why: its cause or evidence.
local function finish(ref, now, from, lane, to, why, settlement)
  local k = record(ref)
  if from == 'dead' then leaves_group(ref) end
  local evidence = to == 'gone'
  transition(ref, from, to, lane, now,
    { [F.finished_at] = ms(now), [F.evidence] = evidence and why or nil, [F.cause] = not evidence and why or nil })
  if to == 'dead' then
    joins_group(ref, ms(now))
    redis.call('HSET', k, F.death_number, redis.call('INCR', K.deaths))  -- so that a plan can say which deaths it has seen
  end
  if from ~= 'discarded' then count_minute(now, to) end  -- a restored letter died long ago
  tally(k, from, to, now)
  count_end(from, to, why)
  receipt(ref, now, to, settlement)
end

-- It is no trouble of this job's: no attempt is used, and nothing dies of it.
local function spare(s)
  s.used = nil
  if s.set then s.set[F.refused_count] = nil end
  if s.to == 'dead' then s.to, s.cause, s.wait, s.delay = 'pending', nil, 'retry', 0 end
end

-- What a settlement has to know of a deletion: its fields in this order, nothing where it is unknown or was damaged.
local KNOWN = { F.state, F.lease_token, F.lane, F.deadline, F.round, F.calls, F.attempts_used, F.cancel_requested, F.taken_at,
  F.outcome_unknown, F.previous_due, F.replay, F.requested_by, F.requested_at, F.claims, F.before_replay }
local function known(ref)
  local v = redis.call('HMGET', record(ref), unpack(KNOWN))
  local good = v[1] == 'running' and (v[3] == 'user' or v[3] == 'bulk') and numbers(v[4], v[14], v[5], v[6], v[7], v[9], v[11])
    and not (v[8] or v[12] or v[15] or v[16])  -- what is seldom there is looked at more closely
  return (good or sound(ref)) and v or {}
end

-- s: ref, token, to, wait, delay (ms), cause, evidence, used, called, ms, outcome, attempt (JSON), event (JSON), set,
-- status, code, saw, nth, left (see record_departure()), book (see _policy_texts.lua) returns the state it now has,
-- with "late" before it when the answer lost, or "unknown"
local function settle(now, s, cfg)
  local k, v = record(s.ref), known(s.ref)
  local state, lane, round, taken = v[1], v[3], v[5] or '1', tonumber(v[9] or '0')
  if s.saw then
    local call = { ref = s.ref, taken = taken, due = tonumber(v[11] or '0'), by = v[13] }
    if record_signal(now, cfg, s.saw, call) then spare(s) end
  end
  if not state then
    spoilt.note_answer(s.ref, s.to)
    return 'unknown'
  end
  local mine = state == 'running' and v[2] == s.token
  if s.nth and (mine or not s.left) then record_departure(cfg, s.nth, taken, s.left, s.ms or 0) end
  if not mine and (s.to ~= 'deleted' or state == 'deleted') then
    if s.called or s.event then count('deletion.stale_result') end
    return 'late ' .. state
  end
  local busy = state == 'running' and redis.call('ZSCORE', K.running, s.ref)
  redis.call('ZREM', index_of(state, lane), s.ref)
  if s.called then
    local calls = redis.call('HINCRBY', k, F.calls, 1)
    if s.used then redis.call('HINCRBY', k, F.attempts_used, 1) end
    count_call(s.outcome or 'unknown', s.ms)
    note(s.ref, 'A ' .. round .. ' ' .. calls .. ' ' .. ms(now - s.ms) .. ' ' .. s.attempt, round)
  end
  if s.event then note(s.ref, 'E ' .. ms(now) .. ' ' .. s.event, round) end
  for name, value in pairs(s.set or {}) do redis.call('HSET', k, name, value) end
  if s.set and s.set[F.seen] then redis.call('HDEL', k, F.empty_lookup_count) end  -- the project is no longer empty
  if s.status then redis.call('HSET', k, F.status, s.status) elseif s.called then redis.call('HDEL', k, F.status) end
  if s.code then redis.call('HSET', k, F.code, s.code) elseif s.called then redis.call('HDEL', k, F.code) end
  if not mine then
    note_event(s.ref, now, 'deletion.deleted', { late = true, was = state }, round)
    -- somebody else's call is under way: a new round must not begin before that lease's end
    if state == 'running' then redis.call('HSET', k, F.call_ends_at, busy) end
    finish(s.ref, now, state, lane, 'deleted', nil, s)
    return 'deleted'
  end
  if s.to == 'cancelled' and v[8] ~= 'cancel' then
    local names, asked = policies(s.ref)
    if not names or not may_judge(now, s.book, asked) then
      transition(s.ref, state, 'pending', lane, now)  -- somebody asked for it while the executor looked, or knows better
      return 'pending'
    end
  end
  local withdrawn = s.to == 'dead' and v[8] == 'cancel'  -- it must not wait for a replay as if somebody wanted it
  if s.to ~= 'pending' and s.to ~= 'held' and not withdrawn then
    finish(s.ref, now, state, lane, s.to, s.cause or s.evidence, s)
    return s.to
  end
  if v[12] and (s.used or s.wait == 'not_deletable_yet') then
    first_word(k, replay_key(v[12]), s.used and 'failed' or 'aside')
  end
  local delay = withdrawn and LOOK_AGAIN or s.delay
  local due = math.max(now, math.min(now + delay, tonumber(v[4])))
  if not s.called and delay == 0 and v[11] then  -- nothing was sent: it keeps its place
    due = tonumber(v[11])
    drop('past:' .. lane, 'ties:' .. lane)
  end
  if v[8] == 'cancel' then
    if redis.call('HGET', k, F.outcome_unknown) == '1' then
      transition(s.ref, state, 'pending', lane, due, { [F.lookup_count] = '1', [F.waiting_for] = 'retry' })
      return 'pending'
    end
    note_event(s.ref, now, 'deletion.cancelled', nil, round)
    finish(s.ref, now, state, lane, 'cancelled', nil, s)
    return 'cancelled'
  end
  if s.to == 'held' then  -- nobody could say whose it is: asked again when it would be due
    hold(s.ref, now, state, lane, due, round, 'user_unknown')
    redis.call('ZADD', K.owner_unknown, ms(due), s.ref)
    return 'held'
  end
  transition(s.ref, state, 'pending', lane, due, { [F.waiting_for] = s.wait })
  return 'pending'
end
