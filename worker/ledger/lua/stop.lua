-- stop: a replay feeds no more. What it fed and nobody called for yet goes back, see `revert_unstarted`; the rest goes
-- its way.
--   KEYS[1]  the account's prefix
--   ARGV     caller, operation number, options (JSON: id, why, by, cancels (a person does; otherwise it stops itself),
--            act (see _audit.lua))
--   returns  {"now", "was": its state before; only "running" is stopped, or "unknown"}
--include _drains
--include _once
--include _replays
--include _sound_replay
--include _audit

return once(function(now)
  local R = replay_key(options.id)
  sound_replay(options.id)
  local was = redis.call('HGET', R, 'state')
  if was == 'running' then
    redis.call('HSET', R, 'state', 'stopping', 'end_why', options.why, 'recalled', 0)
    redis.call('HSET', R, 'end_as', options.cancels and 'cancelled' or 'stopped')
    if options.by then redis.call('HSET', R, 'end_by', options.by) end
    redis.call('ZADD', K.replays_feeding, ms(now), options.id)
    audit(now, { stopped = 1 })
  end
  return { was = was or 'unknown' }
end)
