-- restore: a discarded dead letter is dead again, as it was, for 30 days after it was discarded.
--   KEYS[1]  the account's prefix
--   ARGV     caller, operation number, options (JSON: why, by, within (ms), act (see _audit.lua)), then up to 500 refs
--   returns  {"now", "results": ["dead", "too_late", or the state of one that is not discarded, or "unknown"]}
--include _clock
--include _account
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

local function restore(ref, now)
  local v = redis.call('HMGET', record(ref), F.state, F.lane, F.round, F.cause, F.finished_at)
  if not v[1] then return 'unknown' end
  if v[1] ~= 'discarded' then return v[1] end
  if now - number(v[5], now) > options.within then return 'too_late' end
  note_event(ref, now, 'deletion.restored', { why = options.why, by = options.by }, v[3] or '1')
  finish(ref, now, 'discarded', v[2], 'dead', v[4] or nil)
  return 'dead'
end

return once(ARGV[1], ARGV[2], function()
  local now = clock()
  local results = {}
  for i = 4, #ARGV do results[#results + 1] = restore(ARGV[i], now) end
  audit(now, options.act, results, ARGV[4])
  return { now = tonumber(ms(now)), results = results }
end)
