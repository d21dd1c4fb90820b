-- A deletion leaves one state and enters another: out of one index and into the next, less the fields that this state
-- drops (see schema/states.py). It begins with what frees memory, so that it still runs when Redis is full.
local DROPPED

-- from, to: states; lane: the one that it has; score: its place in the new index (ms); fields: to be set, stored names
local function transition(ref, from, to, lane, score, fields)
  DROPPED = DROPPED or DROPPED_ON
  local k, set = record(ref), { F.state, to }
  redis.call('ZREM', index_of(from, lane), ref)
  redis.call('HDEL', k, unpack(DROPPED[to]))
  for name, value in pairs(fields or {}) do set[#set + 1], set[#set + 2] = name, value end
  redis.call('HSET', k, unpack(set))
  redis.call('ZADD', index_of(to, lane), ms(score), ref)
end
