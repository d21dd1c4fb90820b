-- park: put a message aside that could not be recorded. It belongs to no account: nobody may know to which.
--   KEYS[1]  the prefix of what is parked, `{<namespace>:parked}:`
--              groups        hash    group -> JSON {"since", "last", "told" (when it was returned last; ms since 1970),
--              "why" (the latest), "n" (ever parked)} in:<group>    zset    messages (JSON); score: when it may be tried again (ms since 1970)
--   ARGV     group, message (JSON), why, wait (ms until that time), most (so many of the group are kept; 0: all), times (that
--            this one was parked)
--   returns  the group if this is its first message for a minute, and not tried again; else nil
--include _clock
--include _account
local group, message, why, wait, most = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local MOST_GROUPS = 500  -- what anybody sends must not make names without end: the rest of a kind stands in one group
local before = redis.call('HGET', K.groups, group)
if not before and redis.call('HLEN', K.groups) >= MOST_GROUPS then
  group = string.match(group, '^[^:]*') .. ':+'
  before = redis.call('HGET', K.groups, group)
end
local now, key = clock(), KEYS[1] .. 'in:' .. group
local entry = before and cjson.decode(before) or { since = tonumber(ms(now)), n = 0 }
local tell = ARGV[6] == '1' and (not entry.told or math.abs(now - entry.told) >= MINUTE)
if tell then entry.told = tonumber(ms(now)) end
entry.last, entry.why, entry.n = tonumber(ms(now)), why, entry.n + 1
redis.call('ZADD', key, ms(now + wait), message)
if most > 0 then redis.call('ZREMRANGEBYRANK', key, 0, -most - 1) end
redis.call('HSET', K.groups, group, cjson.encode(entry))
if tell then return group end
