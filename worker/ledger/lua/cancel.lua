-- cancel: withdraw a claim, or all claims. Without a claim left a deletion that no call deleted is `cancelled`.
--   KEYS[1]  the account's prefix
--   ARGV     caller, operation number, options (JSON: why, by, run, act (see _audit.lua)), then up to 500 refs
--            run: only this run's claim goes; without it every claim goes
--   returns  {"now", "results": ["cancelled" (nothing was ever sent) | "cancelled_after_calls" | "in_flight"
--             | "may_be_deleted" | "claim_removed" | "not_claimed" | the state that cannot be cancelled | "unknown"]}
--include _clock
--include _account
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
-- Take all claims of the run away: how many are left; nil: this run had none.
local function remove_claims(ref, r, now)
  local claims, left = claims_of(ref, r), {}
  for _, claim in ipairs(claims) do
    if claim.run ~= options.run then left[#left + 1] = claim end
  end
  if #left == #claims then return nil end
  if #left > 0 then follow(ref, r, now, left) end
  return #left
end

local function cancelled(ref) return sent(record(ref)) == 'no' and 'cancelled' or 'cancelled_after_calls' end

local function cancel(ref, r, now)
  if not r then return 'unknown' end
  local state, unknown, unsent = r[F.state], r[F.outcome_unknown] == '1', r[F.unsent]
  if state == 'cancelled' then return cancelled(ref) end
  if not OPEN[state] then return state end
  if options.run then
    local left = remove_claims(ref, r, now)
    if not left then return 'not_claimed' end
    if left > 0 then return 'claim_removed' end
  end
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
  return cancelled(ref)
end

return once(function(now) return { results = act_on_each(cancel, now) } end)
