-- A deletion leaves one state and enters another: out of one index and into the next, less the fields that this state
-- drops (see schema/states.py). It begins with what frees memory, so that it still runs when Redis is full.
local DROPPED

-- r: its record before; score: its place in the new index (ms); fields: to be set, stored names, text or numbers; more is
-- added to this table. learnt: fields that the move found out before, which the new state may drop (false: it goes);
-- lane: where it changes. All of the record is written here, at once. Returns what changed; false: it is gone.
local function transition(ref, r, to, score, fields, learnt, lane)
  DROPPED = DROPPED or DROPPED_ON
  local k, changes, set, gone, dropped = record(ref), fields or {}, {}, {}, DROPPED[to]
  changes[F.state] = to
  for name, value in pairs(learnt or {}) do
    if changes[name] == nil then changes[name] = not dropped[name] and value end
  end
  for name in pairs(r) do
    if dropped[name] and changes[name] == nil then changes[name] = false end
  end
  for name, value in pairs(changes) do
    if value then
      set[#set + 1] = name
      set[#set + 1] = value
    elseif r[name] then gone[#gone + 1] = name end
  end
  redis.call('ZREM', index_of(r[F.state], r[F.lane], ref), ref)
  if #gone > 0 then redis.call('HDEL', k, unpack(gone)) end
  redis.call('HSET', k, unpack(set))
  count_part(ref, r[F.state], to)
  redis.call('ZADD', index_of(to, lane or r[F.lane], ref), ms(score), ref)
  return changes
end
