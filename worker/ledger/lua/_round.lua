--include _transition
--include _erasure
-- A round is one whole budget of attempts. Opening one forgets what the last one counted and keeps its history.

-- claims: who asks for it in this round; user, user_hash: the app user that whoever opens it names
local function open_round(ref, r, now, claims, user, user_hash)
  local k, from = record(ref), r[F.state]
  if from == 'dead' then
    leaves_group(ref, r)
    count_outcome(r, 'dead', -1)
  end
  fold_history(k, r)
  redis.call('HDEL', k, DROPPED_BY_A_NEW_ROUND)
  -- our call deleted it: an absence in this round is after our call, once control questions show that it is one
  if from == 'deleted' then redis.call('HSET', k, F.outcome_unknown, '1') end
  if r[F.parent] and redis.call('EXISTS', erasure(r[F.parent])) == 1 then
    keep_user(r[F.parent], { [F.app_user] = user or r[F.app_user], [F.app_user_hash] = user_hash or r[F.app_user_hash] })
    open_erasure(r[F.parent], now, 0)
  end
  local lane, due = write_claims(ref, claims)
  due = math.max(due, tonumber(r[F.call_ends_at] or '0'))  -- a call of an earlier round may still be under way
  transition(ref, r, 'pending', due, { [F.round] = tonumber(r[F.round] or '1') + 1, [F.app_user] = user,
    [F.app_user_hash] = user and user_hash, [F.waiting_for] = due > now and 'grace' or nil }, nil, lane)
end
