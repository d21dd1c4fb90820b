-- release: a hold is removed, or its time is over; what it held and nothing else holds goes on, nothing is forgotten.
--   KEYS[1]  the account's prefix
--   ARGV     caller, operation number, options (JSON), then up to 500 refs
--            options: jobs (bool: the holds of these refs are removed), user (HMAC: this hold is removed),
--            ended (bool: do what time alone has freed), in_time (bool: time ended the hold, and no person),
--            looked_through (names, see below), why, by, act (see
--            _audit.lua)
--   returns  {"now", "results": one a ref: "released", "parts_released" (of a deleted job: what it left behind goes on), "held" (another hold applies), "removed" (nothing was held),
--             "not_held" (there was no such hold), "users": holds of app users that were removed,
--             "freed": how many went on, "more": true when there is more that time has freed,
--             "look_through": names in `holds:ends` of holds of app users that are over, where there are any}
--   It notifies nobody: the caller wakes the dispatcher. What a hold of an app user held has to be named: the caller goes
--   through `held` with neither `jobs` nor `user`, then says so with looked_through. Until then the hold's name stays
--   in `holds:ends`: where the caller dies, another one does it.
--include _drains
--include _once
--include _claims
--include _history
--include _counters
--include _replays
--include _hold
--include _receipt
--include _audit
local MOST = 500
local freed = 0

-- Let it go on if nothing holds it any more. `will_look_up`: its app user will be looked up, so not knowing it is no hold.
-- event: what its receipt says of it (see _receipt.lua); none: no hold ended.
local function free(ref, r, now, will_look_up, event)
  if not r or r[F.state] ~= 'held' then
    redis.call('ZREM', K.owner_unknown, ref)
    return false
  end
  local why = hold_of(ref, r)
  if why and not (will_look_up and why == 'ask') then return false end
  let_go(ref, r, now, event and { why = options.why, by = options.by } or { why = 'to ask whose job it is' })
  if event then receipt(ref, now, 'pending', sound(ref) or r, event == 'released' and options or nil, event) end
  freed = freed + 1
  return true
end

-- The same, with what it left behind. Returns what went on: 'released' or 'parts_released'; false: nothing.
local function free_all(ref, r, now, will_look_up, event)
  if free(ref, r, now, will_look_up, event) then return 'released' end
  if not is_to_delete(ref) or job_on_hold(ref) then return false end
  for _, part in ipairs(parts_of(ref)) do free(part, sound(part), now, will_look_up, event) end
  if redis.call('ZSCORE', K.erasures, ref) then redis.call('ZADD', K.erasures, ms(now), ref) end
  return 'parts_released'
end

local function lift_job(ref)
  redis.call('ZREM', K.hold_ends, 'j ' .. ref)
  return redis.call('HDEL', K.held_jobs, ref) == 1
end

local function lift_user(user, now)
  local lifted = redis.call('HDEL', K.held_users, user)
  if lifted == 1 then redis.call('ZADD', K.hold_ends, ms(now), 'u ' .. user) end
  return lifted
end

-- Unless the app user is on hold again meanwhile.
local function forget_end(name)
  if redis.call('HEXISTS', K.held_users, string.sub(name, 3)) == 0 then redis.call('ZREM', K.hold_ends, name) end
end

local function release(ref, r, now)
  local was = not options.jobs or lift_job(ref)
  local went_on = free_all(ref, r, now, options.jobs, options.in_time and 'hold_ended' or 'released')
  if went_on == 'released' or (went_on and options.jobs and was) then return went_on end
  if r and r[F.state] == 'held' then return 'held' end
  return was and 'removed' or 'not_held'
end

local function what_time_freed(now, answer)
  local ended = redis.call('ZRANGEBYSCORE', K.hold_ends, '-inf', ms(now), 'LIMIT', 0, MOST)
  for _, name in ipairs(ended) do
    local member = string.sub(name, 3)
    if string.sub(name, 1, 1) == 'j' then
      lift_job(member)
      free_all(member, sound(member), now, false, 'hold_ended')
    else
      answer.users = answer.users + lift_user(member, now)
      answer.look_through = answer.look_through or {}
      table.insert(answer.look_through, name)
    end
  end
  local unknown = redis.call('ZRANGEBYSCORE', K.owner_unknown, '-inf', ms(now), 'LIMIT', 0, MOST - #ended)
  for _, ref in ipairs(unknown) do
    redis.call('ZREM', K.owner_unknown, ref)
    free(ref, sound(ref), now, true)
  end
  answer.more = #ended + #unknown == MOST
end

return once(function(now)
  local answer, counts = { users = 0 }, {}
  if options.user then
    answer.users = lift_user(options.user, now)
    counts[answer.users > 0 and 'removed' or 'not_held'] = 1
  end
  for _, name in ipairs(options.looked_through or {}) do forget_end(name) end
  if options.ended and clocks_agree() then what_time_freed(now, answer) end
  local results, each = each_ref(release, now)
  if #ARGV > 3 then answer.results = results end
  answer.freed = freed
  counts.released = freed > 0 and freed or nil
  audit(now, options.jobs and each or counts)  -- of each job named; or the app user's hold, and what went on without it
  return answer
end)
