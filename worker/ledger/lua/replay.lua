-- replay: dead letters start a new round with a whole new budget; their history stays.
--   KEYS[1]  the account's prefix
--   ARGV     caller, operation number, options (JSON: why, by, run, lane, deadline (ms from now), gate,
--            act (see _audit.lua)), then up to 500 refs
--   returns  {"now", "results": ["pending", or the state of one that is not dead, or "unknown"], "ring": bell}
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

local function replay(ref, now)
  local v = redis.call('HMGET', record(ref), 'state', 'lane', 'round', 'by')
  if not v[1] then return 'unknown' end
  if v[1] ~= 'dead' then return v[1] end
  open_round(ref, now, { lane = options.lane or v[2], due = now, deadline = now + options.deadline, by = v[4] or options.by,
    why = options.why, run = options.run, from = 'dead', lane_before = v[2], round_before = v[3] })
  count('deletion.replayed')
  note_event(ref, now, 'deletion.replayed', { why = options.why, by = options.by, run = options.run }, v[3] or '1')
  return 'pending'
end

return once(ARGV[1], ARGV[2], function()
  local now = clock()
  local results = {}
  for i = 4, #ARGV do results[#results + 1] = replay(ARGV[i], now) end
  audit(now, options.act, results, ARGV[4])
  return { now = tonumber(ms(now)), results = results, ring = ring(now, options.gate) }
end)
