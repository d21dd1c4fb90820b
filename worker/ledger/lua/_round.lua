--include _transition
-- A round is one whole budget of attempts. Opening one forgets what the last one counted and keeps its history.

-- from: the state it leaves; claims: who asks for it in this round; user, au: the app user that whoever opens it names
local function open_round(ref, now, from, claims, user, au)
  local k = record(ref)
  local v = redis.call('HMGET', k, F.lane, F.round, F.call_ends_at)
  if from == 'dead' then
    leaves_group(ref)
    count_outcome(k, 'dead', -1)
  end
  fold_history(k)
  redis.call('ZREM', index_of(from, v[1]), ref)
  redis.call('HDEL', k, unpack(DROPPED_BY_A_NEW_ROUND))
  -- our call deleted it: an absence in this round is after our call, once control questions show that it is one
  if from == 'deleted' then redis.call('HSET', k, F.outcome_unknown, '1') end
  local lane, due = write_claims(ref, claims)
  due = math.max(due, tonumber(v[3] or '0'))  -- a call of an earlier round may still be under way
  transition(ref, from, 'pending', lane, due, { [F.round] = tonumber(v[2] or '1') + 1, [F.app_user] = user,
    [F.app_user_hash] = user and au, [F.waiting_for] = due > now and 'grace' or nil })
end
