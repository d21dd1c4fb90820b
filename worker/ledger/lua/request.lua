-- request: write the record of each deletion asked for, or merge into the one that is there.
--   KEYS[1]  the account's prefix
--   ARGV     caller, operation number, options (JSON), then up to 500 refs
--            options: lane, by, why, run, user, au (HMAC of the app user), delay (ms), deadline (ms from now),
--            force (bool), after (ms since 1970: the moment in the place of delay), policy (its name), book (the text
--            that asks, see _policy_texts.lua), seen (bool: a list had them), assets (id of each one's asset, or
--            false), gate (see _gate.lua), act (see _audit.lua: where a person lifted a cap)
--            or, in the place of all up to policy, each: a list of them, one a ref
--   returns  {"now", "results": [one a ref, "<state now>" for a new one, "=<state now>" for a merged one], "wakeup": its number
--   or null}
--include _clock
--include _account
--include _once
--include _claims
--include _policy_texts
--include _places
--include _history
--include _counters
--include _groups
--include _round
--include _gate
--include _wakeups
--include _audit
local options = cjson.decode(ARGV[3])
local claim, user, au, force  -- of the deletion at hand (see _claims.lua)
local fresh                   -- the fields of a record that is new

-- One claim for all is heard once: what thousands of new records share is put together once.
local function hear(said, now)
  user, au, force = said.user, said.au, said.force
  claim = { by = said.by, why = said.why, run = said.run, pol = said.policy,
    book = said.book and book_since(now, said.book), lane = said.lane, at = tonumber(ms(now)),
    due = tonumber(ms(said.after or now + said.delay)), moment = said.after and '1', dl = tonumber(ms(now + said.deadline)) }
  fresh = { F.state, 'pending', F.lane, claim.lane, F.requested_at, ms(now), F.deadline, ms(claim.dl) }
  local function has(name, value)
    if value then fresh[#fresh + 1], fresh[#fresh + 2] = name, value end
  end
  for _, name in ipairs(NAMES) do has(name, claim[name]) end
  has(F.app_user, user)
  has(F.app_user_hash, user and au)
  has(F.seen, options.seen and '1')
  has(F.waiting_for, claim.due > now and 'grace')
end

local asked = { new = 0, again = 0, merged = 0, done = 0 }

local function saw(k, asset)
  if options.seen then redis.call('HSET', k, F.seen, '1') end
  if asset then redis.call('HSET', k, F.asset_id, asset) end
end

-- What was put aside of it is asked for again: of what is known of the job, and of calls that were made, nothing is
-- lost.
local function mended(ref, k)
  if redis.call('HDEL', spoilt.list, ref) == 0 then return end
  local aside = K.put_aside .. ref
  for _, name in ipairs({ F.history, F.outcome_unknown, F.seen, F.owner_hash, F.asset_id, F.voice_job_id }) do
    local value = redis.pcall('HGET', aside, name)
    if type(value) == 'string' and spoilt.fits(name, value) then redis.call('HSET', k, name, value) end
  end
  redis.call('DEL', aside)
end

local function create(ref, k, asset)
  redis.call('HSET', k, unpack(fresh))
  mended(ref, k)
  if asset then redis.call('HSET', k, F.asset_id, asset) end
  redis.call('ZADD', index_of('pending', claim.lane), claim.due, ref)
  asked.new = asked.new + 1
  return 'pending'
end

-- A new round. A dead letter's claims live on; all others were met, withdrawn or given up: the history keeps who they
-- were.
local function anew(ref, now, state, round, mine, withdrawn)
  local claims, over = {}, nil
  if state == 'dead' and not withdrawn then claims = renew(claims_of(ref), mine.due, mine.dl) else over = claims_of(ref) end
  add_claim(claims, mine)
  open_round(ref, now, state, claims, user, au)
  asked.again = asked.again + 1
  note_event(ref, now, 'deletion.requested', { by = mine.by, why = mine.why, run = mine.run, was = state, asked = over }, round)
  return state == 'cancelled' and 'pending' or '=pending'
end

-- What waits, is held or is under way has one more claim, and whatever was withdrawn before is wanted again: by this
-- one.
local function merge(ref, now, state, mine, withdrawn)
  local k = record(ref)
  local claims = withdrawn and {} or claims_of(ref)
  add_claim(claims, mine)
  follow(ref, now, claims, mine.due)
  redis.call('HDEL', k, F.cancel_requested)
  if redis.call('HEXISTS', k, F.before_replay) == 1 then redis.call('HSET', k, F.before_replay, '-') end  -- no replay takes it back
  if user and redis.call('HEXISTS', k, F.app_user) == 0 then redis.call('HSET', k, F.app_user, user, F.app_user_hash, au) end
  asked.merged = asked.merged + 1
  return '=' .. state
end

local function ask_for(ref, now, asset)
  local k = record(ref)
  local v = redis.call('HMGET', k, F.state, F.round, F.call_ends_at, F.held_since, F.cancel_requested)
  local state = v[1]
  if not state then return create(ref, k, asset) end
  local mine = {}
  for name, value in pairs(claim) do mine[name] = value end
  mine.due = math.max(mine.due, tonumber(v[3] or '0'))  -- a call of an earlier round may still be under way
  mine.dl = mine.dl - (v[4] and math.max(0, now - tonumber(v[4])) or 0)  -- while it is held its deadlines stand still
  local over = state == 'deleted' or state == 'gone'
  if over and not force then
    asked.done = asked.done + 1
    return '=' .. state
  end
  if over or state == 'dead' or state == 'discarded' or state == 'cancelled' then
    local became = anew(ref, now, state, v[2] or '1', mine, v[5])
    saw(k, asset)
    return became
  end
  return merge(ref, now, state, mine, v[5])
end

local function asked_for(results)
  local told = {}
  for i, result in ipairs(results) do told[i] = string.sub(result, 1, 1) == '=' and 'merged' or 'requested' end
  return told
end

return once(ARGV[1], ARGV[2], function()
  local elsewhere = not_here(options)
  if elsewhere then return elsewhere end
  local now = clock(true)
  local results, hurry = {}, false
  if not options.each then hear(options, now) end
  for i = 4, #ARGV do
    if options.each then hear(options.each[i - 3], now) end
    results[#results + 1] = ask_for(ARGV[i], now, options.assets and options.assets[i - 3])
    hurry = hurry or (claim.lane == 'user' and claim.due <= now)
  end
  for how, n in pairs(asked) do
    if n > 0 then count('deletion.requested ' .. how, n) end
  end
  note_writing()
  audit(now, options.act, asked_for(results), ARGV[4])
  local wakeup = cjson.null
  if hurry then wakeup = notify(now, options.gate) or cjson.null end
  return { now = tonumber(ms(now)), results = results, wakeup = wakeup }
end)
