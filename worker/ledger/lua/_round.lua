-- A round is one whole budget of attempts. Opening one forgets what the last one counted and keeps its history.

-- from: the state it leaves; claims: who asks for it in this round; user, au: the app user that whoever opens it names
local function open_round(ref, now, from, claims, user, au)
  local k = record(ref)
  local v = redis.call('HMGET', k, 'lane', 'round', 'busy')
  if from == 'dead' then
    leaves_group(ref)
    count_outcome(k, 'dead', -1)
  end
  fold_history(k)
  redis.call('ZREM', index_of(from, v[1]), ref)
  redis.call('HDEL', k, 'used', 'calls', 'lost', 'later', 'refused', 'look', 'wish', 'cause', 'evidence', 'settled',
    'status', 'code', 'wait', 'unseen', 'ht', 'rp', 'back', unpack(LEASE))
  -- our call deleted it: an absence in this round is after our call, once control questions show that it is one
  if from == 'deleted' then redis.call('HSET', k, 'unk', '1') end
  local lane, due = write_claims(ref, claims)
  due = math.max(due, tonumber(v[3] or '0'))  -- a call of an earlier round may still be under way
  redis.call('HSET', k, 'state', 'pending', 'round', tonumber(v[2] or '1') + 1)
  if user then redis.call('HSET', k, 'user', user, 'au', au) end
  if due > now then redis.call('HSET', k, 'wait', 'grace') end
  redis.call('ZADD', P .. 'due:' .. lane, ms(due), ref)
end
