-- A deletion leaves one state and enters another: out of one index and into the next, less the fields that this state
-- drops (see schema/states.py). It begins with what frees memory, so that it still runs when Redis is full.
local DROPPED

-- r: its record before; score: its place in the new index (ms); fields: to be set, stored names; lane: where it changes
local function transition(ref, r, to, score, fields, lane)
  DROPPED = DROPPED or DROPPED_ON
  local k, set = record(ref), { F.state, to }
  redis.call('ZREM', index_of(r[F.state], r[F.lane], ref), ref)
  redis.call('HDEL', k, unpack(DROPPED[to]))
  for name, value in pairs(fields or {}) do set[#set + 1], set[#set + 2] = name, value end
  redis.call('HSET', k, unpack(set))
  count_part(ref, r[F.state], to)
  redis.call('ZADD', index_of(to, lane or r[F.lane], ref), ms(score), ref)
end
