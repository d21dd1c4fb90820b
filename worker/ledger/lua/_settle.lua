-- Settle: what became of a lease. Only the holder of the token may, but for a 200: that wins whenever it comes.
local LOOK_AGAIN = 60000  -- ms; for one that was withdrawn, where the last attempt of its budget was made
local ENDED = { deleted = true, gone = true, cancelled = true }

-- A run of a policy, and a replay, count how their deletions ended; one that ends otherwise later is counted anew.
local OPEN = { pending = true, running = true, held = true }
local function tally(k, from, to, now)
  local replay = redis.call('HGET', k, 'rp')
  if replay then count_replay_end(k, replay, from, to, now) end
  count_outcome(k, to, 1)
  if not OPEN[from] then count_outcome(k, from, -1) end
end

-- A deletion leaves for another state than pending: the lease's fields go, and what was personal goes with the end.
local function finish(ref, now, from, lane, to, fields, settlement)
  local k = record(ref)
  if from == 'dead' then leaves_group(ref) end
  redis.call('ZREM', index_of(from, lane), ref)
  redis.call('HDEL', k, 'wait', 'cause', 'evidence', 'ht', unpack(LEASE))
  if ENDED[to] then redis.call('HDEL', k, 'user', 'au', 'owner', 'look', 'wish', 'unseen') end
  redis.call('HSET', k, 'state', to, 'settled', ms(now))
  for name, value in pairs(fields or {}) do redis.call('HSET', k, name, value) end
  redis.call('ZADD', P .. to, ms(now), ref)
  if to == 'dead' then
    joins_group(ref, ms(now))
    redis.call('HSET', k, 'dn', redis.call('INCR', P .. 'deaths'))  -- so that a plan can say which deaths it has seen
  end
  if from ~= 'discarded' then count_minute(now, to) end  -- a restored letter died long ago
  tally(k, from, to, now)
  count_end(from, to, fields and (fields.cause or fields.evidence))
  receipt(ref, now, to, settlement)
end

local function postpone(ref, now, from, lane, due, fields)
  local k = record(ref)
  redis.call('ZREM', index_of(from, lane), ref)
  redis.call('HDEL', k, 'wait', unpack(LEASE))
  redis.call('HSET', k, 'state', 'pending')
  for name, value in pairs(fields or {}) do redis.call('HSET', k, name, value) end
  redis.call('ZADD', P .. 'due:' .. lane, ms(due), ref)
end

-- It is no trouble of this job's: no attempt is used, and nothing dies of it.
local function spare(s)
  s.used = nil
  if s.set then s.set.refused = nil end
  if s.to == 'dead' then s.to, s.cause, s.wait, s.delay = 'pending', nil, 'retry', 0 end
end

-- What a settlement has to know of a deletion: its fields in this order, nothing where it is unknown or was damaged.
local KNOWN = { 'state', 'tok', 'lane', 'dl', 'round', 'calls', 'used', 'wish', 'tk', 'unk', 'was', 'rp', 'by', 'at', 'claims',
  'back' }
local function known(ref)
  local v = redis.call('HMGET', record(ref), unpack(KNOWN))
  local good = v[1] == 'running' and (v[3] == 'user' or v[3] == 'bulk') and numbers(v[4], v[14], v[5], v[6], v[7], v[9], v[11])
    and not (v[8] or v[12] or v[15] or v[16])  -- what is seldom there is looked at more closely
  return (good or sound(ref)) and v or {}
end

-- s: ref, token, to, wait, delay (ms), cause, evidence, used, called, ms, outcome, attempt (JSON), event (JSON), set, status, code, saw, nth, left (see sent()), book (see _books.lua)
-- returns the state it now has, with "late" before it when the answer lost, or "unknown"
local function settle(now, s, cfg)
  local k, v = record(s.ref), known(s.ref)
  local state, lane, round, taken = v[1], v[3], v[5] or '1', tonumber(v[9] or '0')
  if s.saw then
    local call = { ref = s.ref, taken = taken, due = tonumber(v[11] or '0'), by = v[13] }
    if learn(now, cfg, s.saw, call) then spare(s) end
  end
  if not state then
    spoilt.note_answer(s.ref, s.to)
    return 'unknown'
  end
  local mine = state == 'running' and v[2] == s.token
  if s.nth and (mine or not s.left) then sent(cfg, s.nth, taken, s.left, s.ms or 0) end
  if not mine and (s.to ~= 'deleted' or state == 'deleted') then
    if s.called or s.event then count('deletion.stale_result') end
    return 'late ' .. state
  end
  local busy = state == 'running' and redis.call('ZSCORE', P .. 'running', s.ref)
  redis.call('ZREM', index_of(state, lane), s.ref)
  if s.called then
    local calls = redis.call('HINCRBY', k, 'calls', 1)
    if s.used then redis.call('HINCRBY', k, 'used', 1) end
    count_call(s.outcome or 'unknown', s.ms)
    note(s.ref, 'A ' .. round .. ' ' .. calls .. ' ' .. ms(now - s.ms) .. ' ' .. s.attempt, round)
  end
  if s.event then note(s.ref, 'E ' .. ms(now) .. ' ' .. s.event, round) end
  for name, value in pairs(s.set or {}) do redis.call('HSET', k, name, value) end
  if s.set and s.set.seen then redis.call('HDEL', k, 'unseen') end  -- the project is no longer empty
  if s.status then redis.call('HSET', k, 'status', s.status) elseif s.called then redis.call('HDEL', k, 'status') end
  if s.code then redis.call('HSET', k, 'code', s.code) elseif s.called then redis.call('HDEL', k, 'code') end
  if not mine then
    note_event(s.ref, now, 'deletion.deleted', { late = true, was = state }, round)
    -- somebody else's call is under way: a new round must not begin before that lease's end
    if state == 'running' then redis.call('HSET', k, 'busy', busy) end
    finish(s.ref, now, state, lane, 'deleted', nil, s)
    return 'deleted'
  end
  if s.to == 'cancelled' and v[8] ~= 'cancel' then
    local names, asked = policies(s.ref)
    if not names or not may_judge(now, s.book, asked) then
      postpone(s.ref, now, state, lane, now)  -- somebody asked for it while the hand looked, or knows better
      return 'pending'
    end
  end
  local withdrawn = s.to == 'dead' and v[8] == 'cancel'  -- it must not wait for a replay as if somebody wanted it
  if s.to ~= 'pending' and s.to ~= 'held' and not withdrawn then
    finish(s.ref, now, state, lane, s.to, { cause = s.cause, evidence = s.evidence }, s)
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
    if redis.call('HGET', k, 'unk') == '1' then
      postpone(s.ref, now, state, lane, due, { look = '1', wait = 'retry' })
      return 'pending'
    end
    note_event(s.ref, now, 'deletion.cancelled', nil, round)
    finish(s.ref, now, state, lane, 'cancelled', nil, s)
    return 'cancelled'
  end
  if s.to == 'held' then  -- nobody could say whose it is: asked again when it would be due
    hold(s.ref, now, state, lane, due, round, 'user_unknown')
    redis.call('ZADD', P .. 'holds:unknown', ms(due), s.ref)
    return 'held'
  end
  postpone(s.ref, now, state, lane, due, { wait = s.wait })
  return 'pending'
end
