-- confirm: may the call still leave? Asked right before a DELETE where anything lay between its take and now: a look, a
--          token of IAM, a thread that woke late. Everywhere else it would cost a round trip for nothing.
--   KEYS[1]  the account's prefix
--   ARGV     caller, operation number, options (JSON: ref, token, key, probe (the closure that it tries), owner (HMAC
--   of the app user whose job
--            the look found it to be), policy_text (by which policies were asked, see _policy_texts.lua), gate,
--            ahead: ms until its slot, where it has no place yet (see _limiter.lua),
--            inventory: related, state (done | none), absent (the job is not there), parts (JSON), ids)
--   returns  {"now", "go": whether the lease is still the caller's, nobody withdrew the deletion or put it on hold, the
--            policies were judged by a recent text where nobody else asks, its deadline has not passed, and the gate is as
--            open as it was; ahead_s: until it may leave, and call_seq: its number, where a place was asked for}
--   "go" writes down that a call may have left: from now on a cancel or hold comes too late, and a rescue does not
--   know. Its lease begins anew, so that it covers the call however long the look before it took.
--include _drains
--include _once
--include _claims
--include _policy_texts
--include _gate
--include _replays
--include _history
--include _counters
--include _hold
--include _erasure

local function goes(now)
  local r = sound(options.ref)
  if not r or r[F.state] ~= 'running' or r[F.lease_token] ~= options.token then return false end
  if options.owner then
    redis.call('HSET', record(options.ref), F.owner_hash, options.owner)
    r[F.owner_hash] = options.owner
  end
  local names, text_at = policies(r)
  if names and not may_judge(now, options.policy_text, text_at) then return false end
  return not r[F.cancel_requested] and tonumber(r[F.deadline]) > now and still_open(now, options.gate, options.key, options.ref, options.probe)
    and not hold_of(options.ref, r)
    and not (r[F.parent] and (is_shared(options.ref) or not job_is_over(r[F.parent])))
end

return once(function(now)
  local go = goes(now)
  if go then
    redis.call('HDEL', record(options.ref), F.unsent)
    if options.inventory then
      keep_inventory(options.ref, options.inventory, redis.call('HGET', record(options.ref), F.round))
    end
    redis.call('ZADD', K.running, ms(now + options.gate.lease), options.ref)
    if options.ahead then
      local ahead, call_seq = depart(now, of_kind(options.gate, options.ref), options.ahead)
      write_gate()
      return { go = true, ahead_s = ahead / 1000, call_seq = call_seq }
    end
  end
  return { go = go }
end)
