-- request: write the record of each deletion asked for, or merge into the one that is there.
--   KEYS[1]  the account's prefix
--   ARGV     caller, operation number, options (JSON), then up to 500 refs
--            options: lane, by, why, run, user, au (HMAC of the app user), delay (ms), deadline (ms from now),
--            again (bool), policy (its name), seen (bool: a list had them), assets (id of each one's asset, or false),
--            gate (see _gate.lua), act (see _audit.lua: where a person lifted a cap)
--            or, in the place of all up to policy, each: a list of them, one a ref
--   returns  {"now", "results": [one a ref, "<state now>" for a new one, "=<state now>" for a merged one], "ring": bell or null}
--include _clock
--include _account
--include _once
--include _history
--include _counters
--include _groups
--include _round
--include _gate
--include _ring
--include _audit
local options = cjson.decode(ARGV[3])
local lane, by, why, run, user, au, pol, again  -- of the deletion at hand
local due, deadline, fresh                      -- when, and the fields of a record that is new

-- One claim for all is heard once: what thousands of new records share is put together once.
local function hear(claim, now)
  lane, by, why, run, user = claim.lane, claim.by, claim.why, claim.run, claim.user
  au, pol, again = claim.au, claim.policy, claim.again
  due, deadline = now + claim.delay, now + claim.deadline
  fresh = { 'state', 'pending', 'lane', lane, 'at', ms(now), 'dl', ms(deadline) }
  local function has(name, value)
    if value then fresh[#fresh + 1], fresh[#fresh + 2] = name, value end
  end
  has('by', by)
  has('why', why)
  has('run', run)
  has('pol', pol)
  has('user', user)
  has('au', user and au)
  has('seen', options.seen and '1')
  has('wait', due > now and 'grace')
end

local asked = { new = 0, again = 0, merged = 0, done = 0 }

local function saw(k, asset)
  if options.seen then redis.call('HSET', k, 'seen', '1') end
  if asset then redis.call('HSET', k, 'asset', asset) end
end

-- One more claim on a deletion that is there: who, why, which run, and when it would be due for them (the first one's is
-- the field cd), so that `cancel` can give back the time that a run took. The same claim twice is one. Of more than can be
-- kept one without names stands for all: no run withdraws it, and no policy alone decides. A policy comes back by itself.
local MOST_CLAIMS = 50
local function add_claim(ref, now, r)
  local k, claims = record(ref), r.also and cjson.decode(r.also) or {}
  local same
  if r.by == (by or false) and r.run == (run or false) and r.pol == (pol or false) then
    if r.cd and due < tonumber(r.cd) then redis.call('HSET', k, 'cd', ms(due)) end
    return
  end
  for _, c in ipairs(claims) do
    if c.by == by and c.run == run and c.pol == pol then same = c end
  end
  if not same and #claims > MOST_CLAIMS then
    if pol then return end
    same = claims[#claims]
  end
  if same then
    if not same.due or same.due <= due then return end
    same.due = tonumber(ms(due))
  else
    if #claims >= MOST_CLAIMS and pol then return end
    local named = #claims < MOST_CLAIMS
    claims[#claims + 1] = { by = named and by or nil, why = named and why or nil, run = named and run or nil, pol = pol,
      at = tonumber(ms(now)), lane = lane, due = tonumber(ms(due)) }
    if #claims == 1 and r.score then redis.call('HSET', k, 'cd', r.score) end
  end
  redis.call('HSET', k, 'also', cjson.encode(claims))
end

local function create(ref, k, asset)
  redis.call('HSET', k, unpack(fresh))
  if asset then redis.call('HSET', k, 'asset', asset) end
  redis.call('ZADD', P .. 'due:' .. lane, ms(due), ref)
  asked.new = asked.new + 1
  return 'pending'
end

local function merge(ref, now, asset)
  local k = record(ref)
  if redis.call('EXISTS', k) == 0 then return create(ref, k, asset) end
  local v = redis.call('HMGET', k, 'state', 'lane', 'round', 'by', 'run', 'also', 'dl', 'busy', 'pol', 'cd')
  local r = { state = v[1], lane = v[2], round = v[3], by = v[4], run = v[5], also = v[6], dl = v[7], pol = v[9], cd = v[10] }
  local due = math.max(due, tonumber(v[8] or '0'))  -- a call of an earlier round may still be under way
  local s = r.state
  local anew = s == 'dead' or s == 'discarded' or s == 'cancelled' or (again and (s == 'deleted' or s == 'gone'))
  if anew then
    local first = first_claim(ref, r.round)
    open_round(ref, now, { lane = lane, due = due, deadline = deadline, by = by, why = why, run = run, pol = pol,
      user = user, au = au, from = s, lane_before = r.lane, round_before = r.round })
    saw(k, asset)
    asked.again = asked.again + 1
    note_event(ref, now, 'deletion.requested', { by = by, why = why, run = run, was = s, asked = first }, r.round)
    return s == 'cancelled' and 'pending' or '=pending'
  end
  if s == 'deleted' or s == 'gone' then
    asked.done = asked.done + 1
    return '=' .. s
  end
  asked.merged = asked.merged + 1
  if s ~= 'running' then r.score = redis.call('ZSCORE', index_of(s, r.lane), ref) end
  add_claim(ref, now, r)
  redis.call('HDEL', k, 'wish')
  if user and redis.call('HEXISTS', k, 'user') == 0 then
    redis.call('HSET', k, 'user', user, 'au', au)
  end
  if deadline < tonumber(r.dl) then redis.call('HSET', k, 'dl', ms(deadline)) end
  local urgent = (lane == 'user' or r.lane == 'user') and 'user' or 'bulk'
  if s == 'running' then
    if urgent ~= r.lane then redis.call('HSET', k, 'lane', urgent) end
    return '=running'
  end
  local score = tonumber(r.score)
  if due < score then
    score = due
    if s == 'pending' and due <= now then redis.call('HDEL', k, 'wait') end
  end
  if urgent ~= r.lane then
    redis.call('HSET', k, 'lane', urgent)
    redis.call('ZREM', index_of(s, r.lane), ref)
  end
  redis.call('ZADD', index_of(s, urgent), ms(score), ref)
  return '=' .. s
end

local function asked_for(results)
  local told = {}
  for i, result in ipairs(results) do told[i] = string.sub(result, 1, 1) == '=' and 'merged' or 'requested' end
  return told
end

return once(ARGV[1], ARGV[2], function()
  local now = clock()
  local results, hurry = {}, false
  if not options.each then hear(options, now) end
  for i = 4, #ARGV do
    local claim = options.each and options.each[i - 3] or options
    if options.each then hear(claim, now) end
    results[#results + 1] = merge(ARGV[i], now, options.assets and options.assets[i - 3])
    hurry = hurry or (lane == 'user' and claim.delay <= 0)
  end
  for how, n in pairs(asked) do
    if n > 0 then count('deletion.requested ' .. how, n) end
  end
  audit(now, options.act, asked_for(results), ARGV[4])
  local bell = cjson.null
  if hurry then bell = ring(now, options.gate) or cjson.null end
  return { now = tonumber(ms(now)), results = results, ring = bell }
end)
