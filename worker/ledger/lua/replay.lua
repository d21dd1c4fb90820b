-- replay: dead letters start a new round with a whole new budget; their history stays.
--   KEYS[1]  the account's prefix
--   ARGV     caller, operation number, options (JSON: why, by, run, lane, deadline (ms from now), mark (a death's
--   number:
--            letters with a later one are not touched), gate, act (see _audit.lua)), then up to 500 refs
--   returns  {"now", "results": ["pending", "newer", or the state of one that is not dead, or "unknown"], "wake": whether
--            an executor is to be called at once}
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

local function replay(ref, r, now) return reopen(ref, r, now, options) end

return once(function(now)
  return { results = act_on_each(replay, now), wake = executor_wanted(now, options.gate) }
end, not_here)
