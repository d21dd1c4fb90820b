-- hold: nothing is sent for these jobs, or for any job of this app user, until the hold is removed or ends.
--   KEYS[1]  the account's prefix
--   ARGV     caller, operation number, options (JSON: why, by, until (ms since 1970), user (HMAC), every (bool: in all
--            accounts, those to come too),
--            act (see _audit.lua)), then up to 500 refs
--   returns  {"now", "results": one a ref: "held", "may_be_deleted" (held; an earlier call may have deleted it),
--             "in_flight" (held if the call under way deletes nothing), "parts_held" (it has ended, and what it left
--             behind is not deleted), the state of one that does not wait, or "none"}
--   What waits is held at once; what is under way, asked for or replayed later is held when an executor would take it.
--include _drains
--include _once
--include _claims
--include _places
--include _history
--include _counters
--include _replays
--include _hold
--include _audit

local function write(hash, member, name, now)
  local entry = { why = options.why, by = options.by, at = tonumber(ms(now)), ['until'] = options['until'], every = options.every }
  redis.call('HSET', hash, member, cjson.encode(entry))
  if options['until'] then redis.call('ZADD', K.hold_ends, ms(options['until']), name)
  else redis.call('ZREM', K.hold_ends, name) end
end

local function hold_what_waits(ref, r, now)
  local state = r[F.state]
  if state == 'running' and not r[F.unsent] then return 'in_flight' end
  if state ~= 'pending' and state ~= 'running' then return state end
  if r[F.cancel_requested] then return 'pending' end  -- only a look is still to come, or under way
  hold(ref, r, now, number(r[F.previous_due] or redis.call('ZSCORE', index_of(state, r[F.lane], ref), ref), now), 'job')
  return r[F.outcome_unknown] == '1' and 'may_be_deleted' or 'held'
end

local function hold_job(ref, r, now)
  write(K.held_jobs, ref, 'j ' .. ref, now)
  if not r then return 'none' end
  local result = hold_what_waits(ref, r, now)
  if OPEN[r[F.state]] or not is_to_delete(ref) then return result end
  result = 'parts_held'
  for _, part in ipairs(parts_of(ref)) do
    local its = sound(part)
    if its and its[F.parent] == ref and hold_what_waits(part, its, now) == 'in_flight' then result = 'in_flight' end
  end
  return result
end

return once(function(now)
  if #ARGV > 3 then return { results = act_on_each(hold_job, now) } end
  write(K.held_users, options.user, 'u ' .. options.user, now)
  audit(now, { held = 1 })
  return {}
end, not_here)
