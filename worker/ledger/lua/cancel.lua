-- cancel: withdraw a claim, or all claims. Without a claim left a deletion that was never sent is `cancelled`.
--   KEYS[1]  the account's prefix
--   ARGV     caller, operation number, options (JSON: why, actor, run, act (see _audit.lua)), then up to 500 refs
--            run: only this run's claim goes; without it every claim goes
--   returns  {"now", "results": ["cancelled" | "in_flight" | "may_be_deleted" | "claim_removed" | "not_claimed"
--             | the state that cannot be cancelled | "unknown"]}
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
local options = cjson.decode(ARGV[3])

-- Take all claims of the run away: how many are left; nil: this run had none.
local function remove_claims(ref, now)
  local claims, left = claims_of(ref), {}
  for _, claim in ipairs(claims) do
    if claim.run ~= options.run then left[#left + 1] = claim end
  end
  if #left == #claims then return nil end
  if #left > 0 then follow(ref, now, left) end
  return #left
end

local function cancel(ref, now)
  local k = record(ref)
  local v = redis.call('HMGET', k, F.state, F.lane, F.round, F.outcome_unknown, F.unsent)
  local r = { state = v[1], lane = v[2], round = v[3] or '1', unknown = v[4] == '1', unsent = v[5] }
  if not r.state then return 'unknown' end
  if r.state ~= 'pending' and r.state ~= 'running' and r.state ~= 'held' then return r.state end
  if options.run then
    local left = remove_claims(ref, now)
    if not left then return 'not_claimed' end
    if left > 0 then return 'claim_removed' end
  end
  note_event(ref, now, 'deletion.cancel_asked', { why = options.why, by = options.actor }, r.round)
  if r.state == 'running' and (r.unknown or not r.unsent) then
    redis.call('HSET', k, F.cancel_requested, 'cancel')
    return r.unsent and 'may_be_deleted' or 'in_flight'  -- a look is under way, or a call
  end
  if r.unknown then  -- a look has to tell; it is no call that a hold forbids
    local due = math.max(now, tonumber(redis.call('HGET', k, F.call_ends_at) or '0'))  -- an earlier round's call ends first
    if r.state == 'held' then
      count_held(k, -1)
      go_on_from_hold(ref, now)
    end
    transition(ref, r.state, 'pending', r.lane, due, { [F.cancel_requested] = 'cancel', [F.lookup_count] = '1' })
    return 'may_be_deleted'
  end
  note_event(ref, now, 'deletion.cancelled', nil, r.round)
  finish(ref, now, r.state, r.lane, 'cancelled', nil, { by = options.actor, why = options.why })
  return 'cancelled'
end

return once(ARGV[1], ARGV[2], function()
  local now = clock()
  local results = {}
  for i = 4, #ARGV do results[#results + 1] = cancel(ARGV[i], now) end
  audit(now, options.act, results, ARGV[4])
  return { now = tonumber(ms(now)), results = results }
end)
