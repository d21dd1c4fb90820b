-- requeue_batch: the next letters of a running replay begin their new rounds. Who looks at an older cursor feeds
-- nothing, so two drivers do no harm.
--   KEYS[1]  the account's prefix
--   ARGV     caller, operation number, options (JSON: id, cursor (where the caller saw it), stage (the next), count (at
--            most 500; 0: only the stage changes), gate)
--   returns  {"now", "moved": whether it was this caller's turn, "fed": how many began, "wake": whether
--            an executor is to be called at once}
--   On hold: nothing is sent, so the letter stays dead. Where that depends on an unknown app user, a look will tell.
--include _once
--include _claims
--include _history
--include _counters
--include _groups
--include _round
--include _gate
--include _wakeups
--include _replays
--include _sound_replay
--include _hold
--include _reopen
local KEPT = { F.round, F.attempts_used, F.calls, F.leases_lost, F.not_deletable_count, F.refused_count, F.lookup_count, F.cause,
  F.finished_at, F.status, F.code }
local function as_it_is(ref, r)
  local was = { [F.claims] = claims_of(ref, r) }
  for _, name in ipairs(KEPT) do was[name] = r[name] end
  return cjson.encode(was)
end

-- What became of it: fed, moved, newer or on_hold.
local function requeue(ref, now, terms)
  local r = sound(ref)
  if not r or r[F.state] ~= 'dead' then return 'moved' end
  local on_hold = hold_of(ref, r)
  if on_hold and on_hold ~= 'ask' then return 'on_hold' end
  local was = as_it_is(ref, r)
  if reopen(ref, r, now, terms) == 'newer' then return 'newer' end
  redis.call('HSET', record(ref), F.replay, options.id, F.before_replay, was)
  return 'fed'
end

return once(function(now)
  local R = replay_key(options.id)
  sound_replay(options.id)
  local v = redis.call('HMGET', R, 'state', 'cursor', 'total', 'mark', 'why', 'by', 'lane', 'deadline')
  if v[1] ~= 'running' or tonumber(v[2]) ~= options.cursor then return { moved = false, fed = 0 } end
  local terms = { mark = tonumber(v[4]), why = v[5], by = v[6] or nil, lane = v[7], deadline = tonumber(v[8]), run = options.id }
  local cursor, became = options.cursor, { fed = 0, moved = 0, newer = 0, on_hold = 0 }
  local refs = options.count > 0 and redis.call('LRANGE', K.replay_refs .. options.id, cursor, cursor + options.count - 1) or {}
  for _, ref in ipairs(refs) do
    local what = requeue(ref, now, terms)
    became[what] = became[what] + 1
  end
  redis.call('HSET', R, 'cursor', cursor + #refs, 'stage', options.stage)
  redis.call('HINCRBY', R, 'open', became.fed)
  if became.fed > 0 then redis.call('HSET', R, 'fed_at', ms(now)) end
  for what, number in pairs(became) do
    if number > 0 then redis.call('HINCRBY', R, what, number) end
  end
  if options.stage == 'rest' and cursor + #refs == tonumber(v[3]) then redis.call('ZREM', K.replays_feeding, options.id) end
  end_if_over(R, options.id, now)
  return { moved = true, fed = became.fed, wake = became.fed > 0 and executor_wanted(now, options.gate) }
end)
