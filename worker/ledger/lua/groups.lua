-- groups: the dead letters in groups, at one moment. Changes nothing.
--   KEYS[1]  the account's prefix
--   returns  {"dead": how many there are, "groups": [[group, cause, status, code, count, first died, last died, oldest
--   deadline]]}
--include _account
local found = {}
local function text(x) return type(x) == 'string' and x or '' end
local stored = redis.call('HGETALL', K.groups)
for i = 1, #stored, 2 do
  local group, what = stored[i], table_of(stored[i + 1]) or {}
  local letters, deadlines = K.group_letters .. group, K.group_deadlines .. group
  found[#found + 1] = { group, text(what[1] or 'unknown'), text(what[2]), text(what[3]), redis.call('ZCARD', letters),
    number(redis.call('ZRANGE', letters, 0, 0, 'WITHSCORES')[2], 0), number(redis.call('ZRANGE', letters, -1, -1, 'WITHSCORES')[2], 0),
    number(redis.call('ZRANGE', deadlines, 0, 0, 'WITHSCORES')[2], 0) }
end
return cjson.encode({ dead = redis.call('ZCARD', K.dead), groups = #found > 0 and found or nil })
