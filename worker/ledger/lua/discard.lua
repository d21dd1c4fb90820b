-- discard: a person gives a dead letter up, with a reason. `restore` takes it back within 30 days.
--   KEYS[1]  the account's prefix
--   ARGV     caller, operation number, options (JSON: why, by, act (see _audit.lua)), then up to 500 refs
--   returns  {"now", "results": ["discarded", or the state of one that is not dead, or "unknown"]}
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

-- A restore needs the app user; when none is possible any more, `forget` takes it away.
local function note_user(ref, now)
  local v = redis.call('HMGET', record(ref), F.app_user, F.owner_hash)
  if v[1] or v[2] then redis.call('ZADD', K.discarded_users, ms(now), ref) end
end

local function discard(ref, now)
  local v = redis.call('HMGET', record(ref), F.state, F.lane, F.round, F.cause)
  if not v[1] then return 'unknown' end
  if v[1] ~= 'dead' then return v[1] end
  note_event(ref, now, 'deletion.discarded', { why = options.why, by = options.by }, v[3] or '1')
  finish(ref, now, 'dead', v[2], 'discarded', v[4] or nil, options)
  note_user(ref, now)
  return 'discarded'
end

return once(ARGV[1], ARGV[2], function()
  local now = clock()
  local results = {}
  for i = 4, #ARGV do results[#results + 1] = discard(ARGV[i], now) end
  audit(now, options.act, results, ARGV[4])
  return { now = tonumber(ms(now)), results = results }
end)
