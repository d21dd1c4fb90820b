--include _transition
--include _marks
-- Settle: what became of a lease. Only the holder of the token may, but for a 200: that wins whenever it comes.
local LOOK_AGAIN = 60000  -- ms; for one that was withdrawn, where the last attempt of its budget was made

-- A run of a policy, and a replay, count how their deletions ended; one that ends otherwise later is counted anew.
local function count_settlement(ref, r, to, now)
  local from = r[F.state]
  if r[F.replay] then count_replay_end(record(ref), r[F.replay], from, to, now) end
  count_outcome(r, to, 1)
  if not OPEN[from] then count_outcome(r, from, -1) end
end

-- It has ended: it is final, dead or discarded. why: its cause or evidence.
-- settlement: its `learnt` is written with it, see transition(). event: see _receipt.lua.
local function finish(ref, r, now, to, why, settlement, event)
  local from, evidence = r[F.state], to == 'gone'
  if from == 'dead' then leaves_group(ref, r) end
  local changes = transition(ref, r, to, now,
    { [F.finished_at] = ms(now), [F.evidence] = evidence and why or nil, [F.cause] = not evidence and why or nil }, settlement and settlement.learnt)
  if to == 'dead' then
    joins_group(ref, ms(now))
    redis.call('HSET', record(ref), F.death_number, redis.call('INCR', K.deaths))  -- so that a plan can say which deaths it has seen
  end
  if from ~= 'discarded' then count_minute(now, to) end  -- a restored letter died long ago
  count_settlement(ref, r, to, now)
  count_end(from, to, why)
  if outbox_until and from ~= 'discarded' and to ~= 'discarded' then
    emit(now, 'deletion.' .. to, { ref = ref, why = why, requested = r[F.requested_at], round = r[F.round], run = r[F.run] })
  end
  erasure_follows(ref, r, to, now, settlement)
  if settlement then settlement.alone = OPEN[from] and not r[F.round] and not settlement.erasure end  -- its first end
  receipt(ref, now, to, setmetatable(changes, { __index = r }), settlement, event)
end

-- It is no trouble of this job's: no attempt is used, and nothing dies of it.
local function spare(s)
  s.used = nil
  if s.fields then s.fields[F.refused_count] = nil end
  if s.to == 'dead' then s.to, s.cause, s.wait, s.delay_s = 'pending', nil, 'retry', 0 end
end

-- s: ref, token, to, wait, delay_s, cause, evidence, used, called, ms, outcome, attempt (JSON), event (JSON), fields,
-- status, code, signal (see _breaker.lua), call_seq, departed_ms, prepared_ms (see record_departure()), policy_text (see
-- _policy_texts.lua), erasure (see _erasure.lua). Returns the state it now has, with "late" before it when the answer lost, or "unknown".
local function settle(now, s, cfg)
  local ref, r = s.ref, sound(s.ref) or {}
  local k, state, round, taken = record(ref), r[F.state], r[F.round] or '1', tonumber(r[F.taken_at] or '0')
  if s.signal then
    local call = { ref = ref, taken = taken, due = r[F.previous_due] or '0', by = r[F.requested_by] }
    if record_signal(now, cfg, s.signal, call) then spare(s) end
  end
  if not state then
    spoilt.note_answer(ref, s.to)
    return 'unknown'
  end
  local mine = state == 'running' and r[F.lease_token] == s.token
  local its = of_kind(cfg, ref)
  if s.call_seq and (mine or not s.departed_ms) then record_departure(its, s.call_seq, taken, s.departed_ms, s.ms or 0) end
  if mine and s.called then record_preparation(its, s.prepared_ms or 0) end
  if not mine and (s.to ~= 'deleted' or state == 'deleted') then
    if s.called or s.event then count('deletion.stale_result') end
    return 'late ' .. state
  end
  bring_back(ref, r)
  local learnt = {}  -- written by the transition that each way from here on ends with
  s.learnt = learnt
  if s.called then
    local calls = ms(number(r[F.calls], 0) + 1)
    learnt[F.calls] = calls
    if s.used then learnt[F.attempts_used] = ms(number(r[F.attempts_used], 0) + 1) end
    count_call(s.outcome or 'unknown', s.ms)
    learnt[F.history] = with_line(r, 'A ' .. round .. ' ' .. calls .. ' ' .. ms(now - s.ms) .. ' ' .. s.attempt)
  end
  if s.event then learnt[F.history] = with_line(r, 'E ' .. ms(now) .. ' ' .. s.event) end
  for name, value in pairs(s.fields or {}) do learnt[name], r[name] = tostring(value), tostring(value) end
  if s.fields and s.fields[F.listed] then learnt[F.empty_lookup_count] = false end  -- the project is no longer empty
  if s.status or s.called then learnt[F.status] = s.status or false end
  if s.code or s.called then learnt[F.code] = s.code or false end
  if not mine then
    learnt[F.history] = with_event(r, now, 'deletion.deleted', { late = true, was = state })
    -- somebody else's call is under way: a new round must not begin before that lease's end
    if state == 'running' then learnt[F.call_ends_at] = redis.call('ZSCORE', K.running, ref) end
    finish(ref, r, now, 'deleted', nil, s)
    return 'deleted'
  end
  local withdrawn = r[F.cancel_requested] == 'cancel'
  s.withdrawn = withdrawn
  if s.erasure then s.erasure.related = wider(s.erasure.related, related_of(r, s.erasure.related)) end  -- somebody asked for more meanwhile
  if s.to == 'cancelled' and not withdrawn then
    local names, text_at = policies(r)
    if not names or not may_judge(now, s.policy_text, text_at) then
      transition(ref, r, 'pending', now, nil, learnt)  -- somebody asked for it while the executor looked, or knows better
      return 'pending'
    end
  end
  local must_not_die = s.to == 'dead' and withdrawn  -- it must not wait for a replay as if somebody wanted it
  if s.to ~= 'pending' and s.to ~= 'held' and not must_not_die then
    finish(ref, r, now, s.to, s.cause or s.evidence, s)
    return s.to
  end
  if r[F.replay] and (s.used or s.wait == 'not_deletable_yet') then
    first_word(k, replay_key(r[F.replay]), s.used and 'failed' or 'aside')
  end
  local delay = must_not_die and LOOK_AGAIN or (s.delay_s or 0) * 1000
  local due = math.max(now, math.min(now + delay, tonumber(r[F.deadline])))
  if not s.called and delay == 0 and r[F.previous_due] then  -- nothing was sent: it keeps its place
    due = tonumber(r[F.previous_due])
    local queue = queue_of(r[F.lane], ref)
    drop('past:' .. queue, 'ties:' .. queue)
  end
  if withdrawn then
    if r[F.outcome_unknown] == '1' then
      transition(ref, r, 'pending', due, { [F.lookup_count] = '1', [F.waiting_for] = 'retry' }, learnt)
      return 'pending'
    end
    learnt[F.history] = with_event(r, now, 'deletion.cancelled')
    finish(ref, r, now, 'cancelled', nil, s)
    return 'cancelled'
  end
  if s.to == 'held' then  -- nobody could say whose it is: asked again when it would be due
    hold(ref, r, now, due, 'user_unknown', learnt)
    redis.call('ZADD', K.owner_unknown, ms(due), ref)
    return 'held'
  end
  transition(ref, r, 'pending', due, { [F.waiting_for] = s.wait }, learnt)
  return 'pending'
end
