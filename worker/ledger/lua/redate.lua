-- redate: what waits and was dated by a clock that had erred is dated anew (see _redate.lua), 500 at a time.
--   KEYS[1]  the account's prefix
--   ARGV     caller, operation number, options (JSON: {})
--   returns  {"now", "redated": how many, "more": whether there is more to look at}
--   `check` in the hash `clock`: '<which index> <how many were seen there and stay>'.
--include _drains
--include _once
--include _redate
local LIMIT = 500

return once(function(now)
  local answer = { redated = 0 }
  read_kept()
  local which, skipped = string.match(to_check or '', '^(%d+) (%d+)$')
  local index = DATED[tonumber(which or nil)]
  if not index then redis.call('HDEL', K.clock, 'check') end
  if not index or not clocks_agree() then return answer end
  -- from the far end: what is dated anew moves away from there
  local found = redis.call('ZREVRANGEBYSCORE', KEYS[1] .. index, '+inf', '(' .. ms(now), 'WITHSCORES', 'LIMIT', skipped, LIMIT)
  answer.redated = redate_some(index, now, found)
  local looked_at = #found / 2
  if looked_at == LIMIT then redis.call('HSET', K.clock, 'check', which .. ' ' .. skipped + LIMIT - answer.redated)
  else redis.call('HSET', K.clock, 'check', which + 1 .. ' 0') end
  answer.more = true
  return answer
end)
