-- Dead letters by their cause, so that counting them does not need to read them all.
--   groups             hash    group -> JSON [cause, status, code]; only groups that have letters
--   letters:<group>    zset    refs of its letters; score: when they died
--   deadlines:<group>  zset    the same refs; score: their deadlines
-- A group's name is fit to be typed: server_error-500-MSS.00000004. A dead record's field `group` names its group.
local function joins_group(ref, died)
  local k = record(ref)
  local v = redis.call('HMGET', k, F.cause, F.status, F.code, F.deadline)
  local parts = { (string.gsub(v[1] or 'unknown', '[^0-9A-Za-z._]+', '_')) }
  for i = 2, 3 do
    if v[i] and v[i] ~= '' then parts[#parts + 1] = (string.gsub(v[i], '[^0-9A-Za-z._]+', '_')) end
  end
  local group = table.concat(parts, '-')
  redis.call('HSET', k, F.group, group)
  redis.call('HSET', K.groups, group, cjson.encode({ v[1] or 'unknown', v[2], v[3] }))
  redis.call('ZADD', K.group_letters .. group, died, ref)
  redis.call('ZADD', K.group_deadlines .. group, v[4], ref)
end

local function leaves_group(ref, r)
  local group = r[F.group]
  if not group then return end
  redis.call('ZREM', K.group_letters .. group, ref)
  redis.call('ZREM', K.group_deadlines .. group, ref)
  if redis.call('EXISTS', K.group_letters .. group) == 0 then redis.call('HDEL', K.groups, group) end
end
