-- A round is one whole budget of attempts. Opening one forgets what the last one counted and keeps its history.

-- Who asked for the first round, and why: the event that opens the second one keeps it, because the record lets go of it.
local function first_claim(ref, round)
  if (round or '1') ~= '1' then return nil end
  local v = redis.call('HMGET', record(ref), 'at', 'by', 'why', 'run', 'also')
  return { at = v[1], by = v[2] or nil, why = v[3] or nil, run = v[4] or nil, also = v[5] and cjson.decode(v[5]) or nil }
end

local function open_round(ref, now, r)
  -- r: lane, due, deadline (ms), by, why, run, pol, user, au, from (the state it leaves), lane_before, round_before
  local k = record(ref)
  if r.from == 'dead' then leaves_group(ref) end
  redis.call('ZREM', index_of(r.from, r.lane_before), ref)
  local due = math.max(r.due, tonumber(redis.call('HGET', k, 'busy') or '0'))
  redis.call('HDEL', k, 'used', 'calls', 'lost', 'later', 'refused', 'look', 'wish', 'cause', 'evidence', 'settled',
    'status', 'code', 'wait', 'unseen', 'also', 'run', 'by', 'why', 'pol', 'ht', 'rp', 'back', 'cd', unpack(LEASE))
  -- our call deleted it: an absence in this round is after our call, once control questions show that it is one
  if r.from == 'deleted' then redis.call('HSET', k, 'unk', '1') end
  local round = tonumber(r.round_before or '1') + 1
  redis.call('HSET', k, 'state', 'pending', 'lane', r.lane, 'at', ms(now), 'dl', ms(r.deadline), 'round', round)
  if r.by then redis.call('HSET', k, 'by', r.by) end
  if r.why then redis.call('HSET', k, 'why', r.why) end
  if r.run then redis.call('HSET', k, 'run', r.run) end
  if r.pol then redis.call('HSET', k, 'pol', r.pol) end
  if r.user then redis.call('HSET', k, 'user', r.user, 'au', r.au) end
  if due > now then redis.call('HSET', k, 'wait', 'grace') end
  redis.call('ZADD', P .. 'due:' .. r.lane, ms(due), ref)
end
