-- revert_unstarted: letters that a replay fed and that nobody called for are dead again, as they were; when all were
-- looked at, the replay has ended. Twice, or by two at once, does no harm.
--   KEYS[1]  the account's prefix
--   ARGV     caller, operation number, options (JSON: id, limit (at most 500))
--   returns  {"now", "state": "stopping" where there is more, or how it has ended}
--   A call that was made, may have been made, or is being made goes its way; so does what somebody else asked for too.
--include _clock
--include _account
--include _drains
--include _once
--include _claims
--include _history
--include _counters
--include _groups
--include _transition
--include _replays
--include _sound_replay
local options = cjson.decode(ARGV[3])

local function recall(ref, now, R, why)
  local k = record(ref)
  sound(ref)
  local v = redis.call('HMGET', k, F.state, F.lane, F.replay, F.before_replay, F.calls, F.leases_lost, F.cancel_requested, F.round, F.unsent)
  local waits = v[1] == 'pending' or v[1] == 'held' or v[9]
  if not waits or v[3] ~= options.id or not v[4] or v[4] == '-' or v[5] or v[6] or v[7] then return end
  local was, claims = cjson.decode(v[4]), claims_of(ref)
  for _, claim in ipairs(claims) do  -- one that was withdrawn meanwhile stays so
    local before = same_claim(was.claims, claim)
    if before then claim.lane, claim.due, claim.dl = before.lane, before.due, before.dl end
  end
  was.claims = nil
  note_event(ref, now, 'deletion.replay_cancelled', { why = why, run = options.id }, v[8])
  redis.call('ZREM', K.owner_unknown, ref)
  redis.call('HDEL', k, F.round, unpack(DROPPED_BY_A_NEW_ROUND))
  write_claims(ref, claims)
  local died = was[F.finished_at] or ms(now)
  transition(ref, v[1], 'dead', v[2], died, was)
  joins_group(ref, died)
  count_outcome(k, 'dead', 1)
  count('deletion.replay_cancelled')
  redis.call('HINCRBY', R, 'back', 1)
  redis.call('HINCRBY', R, 'open', -1)
  if v[1] == 'held' then redis.call('HINCRBY', R, 'held', -1) end
end

return once(ARGV[1], ARGV[2], function()
  local now, R = clock(), replay_key(options.id)
  sound_replay(options.id)
  local v = redis.call('HMGET', R, 'state', 'recalled', 'cursor', 'end_as', 'end_why')
  if v[1] ~= 'stopping' then return { now = tonumber(ms(now)), state = v[1] or 'unknown' } end
  local from, upto = number(v[2], 0), number(v[3], 0)
  local last = math.min(from + options.limit, upto)
  for _, ref in ipairs(last > from and redis.call('LRANGE', K.replay_refs .. options.id, from, last - 1) or {}) do
    recall(ref, now, R, v[5])
  end
  redis.call('HSET', R, 'recalled', last)
  if last < upto then return { now = tonumber(ms(now)), state = 'stopping' } end
  redis.call('HSET', R, 'state', v[4], 'ended', ms(now))
  redis.call('ZREM', K.replays_feeding, options.id)
  redis.call('DEL', K.replay_refs .. options.id)
  return { now = tonumber(ms(now)), state = v[4] }
end)
