-- reserve_lookup: a slot for one GET, at the lookups' own pace. Slots are given out in order; a long queue is refused.
--   KEYS[1]  the account's prefix
--   ARGV     caller, operation number, options (JSON: gate, patience (ms))
--   returns  {"now", "wait": ms until the slot, or null when it is further away than the patience}
--include _clock
--include _account
--include _drains
--include _once
--include _gate
local LONGEST_QUEUE = 150000  -- ms: nobody waits so long for a slot; it is of before Redis's clock went back
return once(function(now)
  local slot = math.max(num('look_slot', 0), now)
  if slot - now > math.max(LONGEST_QUEUE, options.patience) then slot = now end
  if slot - now > options.patience then return {} end
  put('look_slot', slot + options.gate.look_interval)
  write_gate()
  return { wait = slot - now }
end)
