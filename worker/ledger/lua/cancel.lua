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
--include _history
--include _counters
--include _receipt
--include _groups
--include _replays
--include _settle
--include _audit
local options = cjson.decode(ARGV[3])

-- What the withdrawn claim hurried goes back to the time that those who are left asked for, unless it was called for.
local function give_time_back(ref, k, r, left)
  if r.state == 'running' or r.calls or r.lost then return end
  local due = tonumber(redis.call('HGET', k, 'cd') or nil)
  for _, claim in ipairs(left) do due = due and claim.due and math.min(due, claim.due) end
  local index = index_of(r.state, r.lane)
  if not due or due <= tonumber(redis.call('ZSCORE', index, ref)) then return end
  redis.call('ZADD', index, ms(due), ref)
  if r.state == 'pending' then redis.call('HSET', k, 'wait', 'grace') end
end

-- Take all claims of the run away. true: claims are left; false: none is left; nil: this run had none.
local function remove_claims(ref, k, r)
  local left, had = {}, r.run == options.run
  for _, c in ipairs(r.also and cjson.decode(r.also) or {}) do
    if c.run == options.run then had = true else left[#left + 1] = c end
  end
  if not had then return nil end
  if r.run == options.run then
    local first = table.remove(left, 1)
    if not first then return false end
    redis.call('HDEL', k, 'by', 'why', 'run', 'pol', 'cd')
    local claim = { by = first.by, why = first.why, run = first.run, pol = first.pol, cd = first.due and ms(first.due) }
    for name, field in pairs(claim) do redis.call('HSET', k, name, field) end
  end
  if #left == 0 then redis.call('HDEL', k, 'also') else redis.call('HSET', k, 'also', cjson.encode(left)) end
  give_time_back(ref, k, r, left)
  return true
end

local function cancel(ref, now)
  local k = record(ref)
  local v = redis.call('HMGET', k, 'state', 'lane', 'round', 'run', 'also', 'unk', 'dl', 'ht', 'calls', 'lost', 'unsent')
  local r = { state = v[1], lane = v[2], round = v[3] or '1', run = v[4], also = v[5], unknown = v[6] == '1',
    calls = v[9], lost = v[10] }
  if not r.state then return 'unknown' end
  if r.state ~= 'pending' and r.state ~= 'running' and r.state ~= 'held' then return r.state end
  if options.run then
    local left = remove_claims(ref, k, r)
    if left == nil then return 'not_claimed' end
    if left then return 'claim_removed' end
  end
  note_event(ref, now, 'deletion.cancel_asked', { why = options.why, by = options.actor }, r.round)
  if r.state == 'running' and (r.unknown or not v[11]) then
    redis.call('HSET', k, 'wish', 'cancel')
    return v[11] and 'may_be_deleted' or 'in_flight'  -- a look is under way, or a call
  end
  if r.unknown then  -- a look has to tell; it is no call that a hold forbids
    local due = math.max(now, tonumber(redis.call('HGET', k, 'busy') or '0'))  -- an earlier round's call ends first
    local fields = { wish = 'cancel', look = '1' }
    if r.state == 'held' then
      count_held(k, -1)
      fields.dl = ms(tonumber(v[7]) + now - tonumber(v[8] or now))  -- it stood still meanwhile
      redis.call('HDEL', k, 'ht')
    end
    postpone(ref, now, r.state, r.lane, due, fields)
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
