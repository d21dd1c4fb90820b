-- request: write the record of each deletion asked for, or merge into the one that is there.
--   KEYS[1]  the account's prefix
--   ARGV     caller, operation number, options (JSON), then up to 500 refs
--            options: lane, by, why, run, app_user, user_hash (its HMAC), delay_s, deadline_s (from now), force (bool),
--            after_ms (since 1970: the moment in the place of delay_s), policy (its name), policy_text (the text that
--            asks, see _policy_texts.lua), listed (bool: a list had them), assets (id of each one's asset, or
--            false), related (leave, verify or delete), parent (the job that left these parts behind), looked (how often
--            somebody had begun to look when it was asked for: it counts only if nothing changed since), gate
--            (see _gate.lua), act (see _audit.lua: where a person lifted a cap),
--            traceparent (the span of whoever asks)
--            or, in the place of all up to policy, each: a list of them, one a ref
--   returns  {"now", "results": [one a ref, "<state now>" for a new one, "=<state now>" for a merged one, "+" before the
--   state where a new round was opened; "on_hold" or "withdrawn" for a part whose job is on hold, or that nobody wants
--   deleted any more: nothing was written], "wake": whether an executor is to be called at once}
--include _once
--include _claims
--include _policy_texts
--include _places
--include _history
--include _counters
--within
--include _groups
--include _round
--include _marks
--include _replays
--include _hold
--include _gate
--include _wakeups
--include _audit
local claim, user, user_hash, force, traceparent  -- of the deletion at hand (see _claims.lua)
local fresh                          -- the fields of a record that is new
local any_damage                     -- whether anything was put aside before
local counted
each_call(function() any_damage, counted = nil, { new = 0, again = 0, merged = 0, done = 0 } end)

-- The trace that its attempts belong to: of what a job left behind, the job's own.
local function trace_of(terms)
  local found = terms.traceparent or (terms.parent and redis.pcall('HGET', record(terms.parent), F.traceparent))
  return type(found) == 'string' and found or nil
end

-- terms: options, or one of options.each. What thousands of new records share is put together once.
local function prepare(terms, now)
  user, user_hash, force, traceparent = terms.app_user, terms.user_hash, terms.force, trace_of(terms)
  claim = { by = terms.by, why = terms.why, run = terms.run, lane = terms.lane, at = tonumber(ms(now)),
    due = tonumber(ms(terms.after_ms or now + terms.delay_s * 1000)), [F.deadline] = tonumber(ms(now + terms.deadline_s * 1000)),
    [F.policy] = terms.policy, [F.policy_text] = terms.policy_text and text_since(now, terms.policy_text),
    [F.exact_time] = terms.after_ms and '1', [F.related] = terms.related }
  fresh = { F.state, 'pending', F.lane, claim.lane, F.requested_at, ms(now), F.deadline, ms(claim[F.deadline]) }
  local function has(name, value)
    if value then fresh[#fresh + 1], fresh[#fresh + 2] = name, value end
  end
  for _, name in ipairs(NAMES) do has(name, claim[name]) end
  has(F.app_user, user)
  has(F.app_user_hash, user and user_hash)
  has(F.listed, options.listed and '1')
  has(F.parent, terms.parent)
  has(F.traceparent, traceparent)
  has(F.waiting_for, claim.due > now and 'grace')
end

-- What was put aside of it is asked for again: of what is known of the job, and of calls that were made, nothing is
-- lost.
local function mended(ref, k)
  any_damage = any_damage or redis.call('EXISTS', spoilt.list)
  if (any_damage == 0 and #spoilt.found == 0) or redis.call('HDEL', spoilt.list, ref) == 0 then return end
  local aside = K.put_aside .. ref
  for _, name in ipairs({ F.history, F.outcome_unknown, F.listed, F.owner_hash, F.asset_id, F.voice_job_id }) do
    local value = redis.pcall('HGET', aside, name)
    if type(value) == 'string' and spoilt.fits(name, value) then redis.call('HSET', k, name, value) end
  end
  redis.call('DEL', aside)
end

local function create(ref, k, asset)
  redis.call('HSET', k, unpack(fresh))
  mended(ref, k)
  if asset then redis.call('HSET', k, F.asset_id, asset) end
  redis.call('ZADD', index_of('pending', claim.lane, ref), claim.due, ref)
  count_part(ref, nil, 'pending')
  counted.new = counted.new + 1
  return 'pending'
end

-- A new round. A dead letter's claims live on; all others were met, withdrawn or given up: the history keeps who they
-- were.
local function anew(ref, r, now, mine)
  local claims, over, state = {}, claims_of(ref, r), r[F.state]
  if state == 'dead' and not r[F.cancel_requested] then claims, over = renew(over, mine.due, mine[F.deadline]), nil end
  add_claim(claims, mine)
  open_round(ref, r, now, claims, user, user_hash)
  counted.again = counted.again + 1
  if traceparent then redis.call('HSET', record(ref), F.traceparent, traceparent) end
  note_event(ref, r, now, 'deletion.requested', { by = mine.by, why = mine.why, run = mine.run, was = state, claims = over })
  return state == 'cancelled' and '+pending' or '=+pending'
end

-- What waits, is held or is under way has one more claim, and whatever was withdrawn before is wanted again: by this
-- one.
local function merge(ref, r, now, mine)
  local k, withdrawn = record(ref), r[F.cancel_requested]
  local claims = withdrawn and {} or claims_of(ref, r)
  add_claim(claims, mine)
  follow(ref, r, now, claims, mine.due)
  if withdrawn then redis.call('HDEL', k, F.cancel_requested) end
  if r[F.before_replay] then redis.call('HSET', k, F.before_replay, '-') end  -- no replay takes it back
  if user and not r[F.app_user] then redis.call('HSET', k, F.app_user, user, F.app_user_hash, user_hash) end
  if traceparent and not r[F.traceparent] then redis.call('HSET', k, F.traceparent, traceparent) end
  counted.merged = counted.merged + 1
  return '=' .. r[F.state]
end

-- What is on hold stands so at once; where that depends on whose job it is, a lookup finds out before its call.
local function held_at_once(ref, result, now)
  local r = anything_on_hold() and string.find(result, 'pending', 1, true) and sound(ref)
  local because = r and hold_of(ref, r)
  if because ~= 'job' and because ~= 'user' then return result end
  hold(ref, r, now, number(redis.call('ZSCORE', index_of('pending', r[F.lane], ref), ref), now), because)
  return (string.gsub(result, 'pending', 'held'))
end

-- Why what a job left behind must not be asked for now.
local function why_no_part(terms)
  local job = terms.parent
  if not job then return nil end
  if job_on_hold(job) or not job_is_over(job) then return 'on_hold' end
  if terms.looked and redis.call('HGET', erasure(job), E.leases) ~= ms(terms.looked) then return 'withdrawn' end
end

local function ask_for(ref, r, now, asset, terms)
  local k, why = record(ref), why_no_part(terms)
  if why then return why end
  local over = r and (r[F.state] == 'deleted' or r[F.state] == 'gone') and not force
  if r and not over then bring_back(ref, r) end
  if r and terms.parent and not r.archived then
    redis.call('HSET', k, F.parent, terms.parent)
    r[F.parent] = terms.parent
    if terms.for_good then redis.call('HSET', k, F.for_good, '1') end
  end
  if not r then return create(ref, k, asset) end
  local mine, state = {}, r[F.state]
  for name, value in pairs(claim) do mine[name] = value end
  mine.due = math.max(mine.due, tonumber(r[F.call_ends_at] or '0'))  -- a call of an earlier round may still be under way
  if r[F.held_since] then  -- while it is held its deadlines stand still
    mine[F.deadline] = mine[F.deadline] - math.max(0, now - tonumber(r[F.held_since]))
  end
  if over then
    counted.done = counted.done + 1
    return '=' .. state
  end
  if OPEN[state] then return merge(ref, r, now, mine) end
  local became = anew(ref, r, now, mine)
  if options.listed then redis.call('HSET', k, F.listed, '1') end
  if asset then redis.call('HSET', k, F.asset_id, asset) end
  return became
end

return once(function(now)
  local hurry = false
  if not options.each then prepare(options, now) end
  local results, counts = each_ref(function(ref, r, _, i)
    if options.each then prepare(options.each[i], now) end
    local terms = options.each and options.each[i] or options
    local result = held_at_once(ref, ask_for(ref, r, now, options.assets and options.assets[i], terms), now)
    hurry = hurry or (claim.lane == 'user' and claim.due <= now and not string.find(result, 'held', 1, true))
    return result
  end, now)
  for how, n in pairs(counted) do
    if n > 0 then count('deletion.requested ' .. how, n) end
  end
  note_writing()
  local merged = 0
  for result, n in pairs(counts) do
    if string.sub(result, 1, 1) == '=' then merged = merged + n end
  end
  audit(now, { merged = merged > 0 and merged or nil, requested = #results > merged and #results - merged or nil })
  return { results = results, wake = hurry and executor_wanted(now, options.gate) }
end, not_here, true)
