-- revert_unstarted: letters that a replay fed and that nobody called for are dead again, as they were; when all were
-- looked at, the replay has ended. Twice, or by two at once, does no harm.
--   KEYS[1]  the account's prefix
--   ARGV     caller, operation number, options (JSON: id, limit (at most 500))
--   returns  {"now", "state": "stopping" where there is more, or how it has ended}
--   A call that was made, may have been made, or is being made goes its way; so does what somebody else asked for too.
--include _drains
--include _once
--include _claims
--include _history
--include _counters
--include _groups
--include _transition
--include _replays
--include _sound_replay

local function revert(ref, now, R, why)
  local k, r = record(ref), sound(ref)
  local waits = r and (r[F.state] == 'pending' or r[F.state] == 'held' or r[F.unsent])
  if not waits or r[F.replay] ~= options.id or (r[F.before_replay] or '-') == '-' then return end
  if r[F.calls] or r[F.leases_lost] or r[F.cancel_requested] then return end
  local was, claims = cjson.decode(r[F.before_replay]), claims_of(ref, r)
  for _, claim in ipairs(claims) do  -- one that was withdrawn meanwhile stays so
    local before = same_claim(was[F.claims], claim)
    if before then claim.lane, claim.due, claim[F.deadline] = before.lane, before.due, before[F.deadline] end
  end
  was[F.claims] = nil
  note_event(ref, r, now, 'deletion.replay_cancelled', { why = why, run = options.id })
  redis.call('ZREM', K.owner_unknown, ref)
  redis.call('HDEL', k, F.round, DROPPED_BY_A_NEW_ROUND)
  write_claims(ref, claims)
  local died = was[F.finished_at] or ms(now)
  transition(ref, r, 'dead', died, was)
  joins_group(ref, died)
  count_outcome(r, 'dead', 1)
  count('deletion.replay_cancelled')
  redis.call('HINCRBY', R, 'back', 1)
  redis.call('HINCRBY', R, 'open', -1)
  if r[F.state] == 'held' then redis.call('HINCRBY', R, 'held', -1) end
end

return once(function(now)
  local R = replay_key(options.id)
  sound_replay(options.id)
  local v = redis.call('HMGET', R, 'state', 'recalled', 'cursor', 'end_as', 'end_why')
  if v[1] ~= 'stopping' then return { state = v[1] or 'unknown' } end
  local from, upto = number(v[2], 0), number(v[3], 0)
  local last = math.min(from + options.limit, upto)
  for _, ref in ipairs(last > from and redis.call('LRANGE', K.replay_refs .. options.id, from, last - 1) or {}) do
    revert(ref, now, R, v[5])
  end
  redis.call('HSET', R, 'recalled', last)
  if last < upto then return { state = 'stopping' } end
  replay_ended(R, options.id, v[4], now)
  return { state = v[4] }
end)
