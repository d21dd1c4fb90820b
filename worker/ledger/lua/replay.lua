-- replay: dead letters start a new round with a whole new budget; their history stays.
--   KEYS[1]  the account's prefix
--   ARGV     caller, operation number, options (JSON: why, by, run, lane, deadline (ms from now), mark (a death's
--   number:
--            letters with a later one are not touched), gate, act (see _audit.lua)), then up to 500 refs
--   returns  {"now", "results": ["pending", "newer", or the state of one that is not dead, or "unknown"], "wakeup": its number}
--include _clock
--include _account
--include _once
--include _claims
--include _places
--include _history
--include _counters
--include _groups
--include _round
--include _gate
--include _wakeups
--include _audit
--include _reopen
local options = cjson.decode(ARGV[3])

return once(ARGV[1], ARGV[2], function()
  local elsewhere = not_here(options)
  if elsewhere then return elsewhere end
  local now = clock()
  local results = {}
  for i = 4, #ARGV do results[#results + 1] = reopen(ARGV[i], now, options) end
  audit(now, options.act, results, ARGV[4])
  return { now = tonumber(ms(now)), results = results, wakeup = notify(now, options.gate) }
end)
