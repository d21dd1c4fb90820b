-- depart: let go of what another account has by now of some jobs of a project that is being moved.
--   KEYS[1]  the account's prefix
--   ARGV     caller, operation number, options (JSON: project, seals (see pack.lua), one a ref,
--            act (see _audit.lua)), then up to 500 refs
--   returns  {"now", "gone": how many left; the others have changed since they were packed}
--   For the replay that began a letter its round is over, as if it had been cancelled: it goes on elsewhere without it.
--include _drains
--include _once
--include _history
--include _counters
--include _groups
--include _replays
--include _places
--include _contents
--include _marks
--include _audit

local function depart(ref, r, now)
  if r and r.archived then
    forget_mark(ref, r)
    count('deletion.moved out')
  elseif r then
    if r[F.replay] and OPEN[r[F.state]] then count_replay_end(record(ref), r[F.replay], r[F.state], 'cancelled', now) end
    leaves_group(ref, r)
    redis.call('ZREM', index_of(r[F.state], r[F.lane], ref), ref)
    redis.call('DEL', record(ref))
    count_part(ref, r[F.state])
    forget_other_mark(ref)
    count('deletion.moved out')
  end
  forget_erasure(ref)
  redis.call('HDEL', K.held_jobs, ref)
  redis.call('ZREM', K.hold_ends, 'j ' .. ref)
  for _, index in ipairs({ K.owner_unknown, K.discarded_users, K.failing }) do redis.call('ZREM', index, ref) end
end

return once(function(now)
  local gone = 0
  if redis.call('HGET', K.projects, options.project) == 'moving' then
    for i = 4, #ARGV do
      local r, c = sound(ARGV[i]), contents(ARGV[i])
      if c.state ~= 'running' and seal_of(c) == options.seals[i - 3] then
        depart(ARGV[i], r, now)
        gone = gone + 1
      end
    end
  end
  if gone > 0 then audit(now, { moved = gone }) end
  return { gone = gone }
end)
