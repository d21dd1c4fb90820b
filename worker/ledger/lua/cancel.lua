-- cancel: withdraw a claim, or all claims. Without a claim left a deletion that no call deleted is `cancelled`.
--   KEYS[1]  the account's prefix
--   ARGV     caller, operation number, options (JSON: why, by, run, act (see _audit.lua)), then up to 500 refs
--            run: only this run's claim goes; without it every claim goes
--   returns  {"now", "results": ["cancelled" (nothing was ever sent) | "cancelled_after_calls" | "in_flight"
--             | "may_be_deleted" | "claim_removed" | "not_claimed" | "parts_kept" (it has ended; what it left behind and
--             is still there is not deleted) | the state that cannot be cancelled | "unknown"]}
--include _drains
--include _once
--include _claims
--include _policy_texts
--include _history
--include _counters
--include _receipt
--include _groups
--include _replays
--include _settle
--include _audit
--include _sent
-- Take all claims of the run away, or those with this value of another name: how many are left; nil: there were none.
local function remove_claims(ref, r, now, name, value)
  local claims, left = claims_of(ref, r), {}
  for _, claim in ipairs(claims) do
    if claim[name or 'run'] ~= (value or options.run) then left[#left + 1] = claim end
  end
  if #left == #claims then return nil end
  if #left > 0 then follow(ref, r, now, left) end
  return #left
end

local function cancelled(r) return sent(r) == 'no' and 'cancelled' or 'cancelled_after_calls' end

local withdraw

-- Nobody wants any more that what it left behind is deleted: whoever asked for one of the parts by himself still does.
local function withdraw_parts(ref, now)
  redis.call('HSET', erasure(ref), E.related, 'verify')
  redis.call('HINCRBY', erasure(ref), E.leases, 1)  -- whoever looks at this moment asks for nothing
  redis.call('ZADD', K.erasures, ms(now), ref)
  local result = 'parts_kept'
  for _, part in ipairs(parts_of(ref)) do
    local r = sound(part)
    if r and r[F.parent] == ref and OPEN[r[F.state]] and remove_claims(part, r, now, 'by', 'erasure') == 0 then
      local its = withdraw(part, r, now)
      if its == 'in_flight' or its == 'may_be_deleted' then result = its end
    end
  end
  return result
end

local function cancel(ref, r, now)
  if not r then return 'unknown' end
  local state = r[F.state]
  if state == 'cancelled' then return cancelled(r) end
  if not OPEN[state] then return not options.run and is_to_delete(ref) and withdraw_parts(ref, now) or state end
  if options.run then
    local left = remove_claims(ref, r, now)
    if not left then return 'not_claimed' end
    if left > 0 then return 'claim_removed' end
  end
  return withdraw(ref, r, now)
end

function withdraw(ref, r, now)
  local state, unknown, unsent = r[F.state], r[F.outcome_unknown] == '1', r[F.unsent]
  note_event(ref, r, now, 'deletion.cancel_requested', { why = options.why, by = options.by })
  if state == 'running' and (unknown or not unsent) then
    redis.call('HSET', record(ref), F.cancel_requested, 'cancel')
    return unsent and 'may_be_deleted' or 'in_flight'  -- a look is under way, or a call
  end
  if unknown then  -- a look has to tell; it is no call that a hold forbids
    local due = math.max(now, tonumber(r[F.call_ends_at] or '0'))  -- an earlier round's call ends first
    if state == 'held' then
      count_held(r, -1)
      go_on_from_hold(ref, r, now)
    end
    transition(ref, r, 'pending', due, { [F.cancel_requested] = 'cancel', [F.lookup_count] = '1' })
    return 'may_be_deleted'
  end
  note_event(ref, r, now, 'deletion.cancelled')
  finish(ref, r, now, 'cancelled', nil, options)
  return cancelled(r)
end

return once(function(now) return { results = act_on_each(cancel, now) } end)
