-- start: a replay whose list is written down begins. From now on any worker drives it, whatever becomes of who started
-- it.
--   KEYS[1]  the account's prefix
--   ARGV     caller, operation number, options (JSON: id, why, by, what, groups (JSON), lane, mark, deadline (ms a
--   letter),
--            keep (ms), most (how many replays are remembered), act (see _audit.lua), others (see _replays.lua))
--   returns  {"now", "state"}; another state than "running": it was not there to be started
--include _once
--include _audit
-- The history stays short: the oldest that have ended go.
local function forget_old(now)
  local many = redis.call('ZCARD', K.replays) + 1 - options.most
  for number, id in ipairs(redis.call('ZRANGE', K.replays, 0, 9, 'WITHSCORES')) do
    if number % 2 == 1 then
      local R = K.replay .. id
      local at, state = redis.call('ZSCORE', K.replays, id), redis.call('HGET', R, 'state')
      local old = (number + 1) / 2 <= many or tonumber(at) < now - options.keep
      if old and state ~= 'running' and state ~= 'stopping' then
        redis.call('ZREM', K.replays, id)
        redis.call('DEL', R, K.replay_refs .. id)
      end
    end
  end
end

return once(function(now)
  local R, refs = K.replay .. options.id, K.replay_refs .. options.id
  local state = redis.call('HGET', R, 'state')
  if state ~= 'planning' then return { state = state or 'unknown' } end
  if clocks_agree() then forget_old(now) end
  redis.call('ZREM', K.replays_planned, options.id)
  redis.call('HSET', R, 'state', 'running', 'stage', 'canary', 'at', ms(now), 'why', options.why, 'what', options.what,
    'groups', options.groups, 'mark', options.mark, 'lane', options.lane, 'deadline', ms(options.deadline), 'cursor', 0,
    'fed', 0, 'open', 0, 'total', redis.call('LLEN', refs))
  if options.by then redis.call('HSET', R, 'by', options.by) end
  if options.others then redis.call('HSET', R, 'others', options.others) end
  redis.call('ZADD', K.replays, ms(now), options.id)
  redis.call('ZADD', K.replays_feeding, ms(now), options.id)
  audit(now, { to_replay = redis.call('LLEN', refs) })
  return { state = 'running' }
end)
