-- reserve_lookup: a slot for one GET, at the lookups' own pace. Slots are given out in order; a long queue is refused.
-- A person does not stand behind a sweep: urgent ones have a queue of their own, at twice the pace.
--   KEYS[1]  the account's prefix
--   ARGV     caller, operation number, options (JSON: gate, kind, urgent (bool), patience (ms); throttled: a GET of this
--            family was answered 429, and nobody sends one for so many ms)
--   returns  {"now", "wait": ms until the slot, or null when it is further away than the patience}
--include _drains
--include _once
--include _gate
local LONGEST_QUEUE = 150000  -- ms: nobody waits so long for a slot; it is of before Redis's clock went back
local LONGEST_PAUSE = 15 * 60 * 1000
return once(function(now)
  local cfg = of_named_kind(options.gate, options.kind)
  local name = 'look_slot' .. (cfg.look_own or '') .. (options.urgent and ':user' or '')
  local pause = 'look_pause' .. (cfg.look_own or '')
  if options.throttled then put(pause, math.max(num(pause, 0), now + math.min(options.throttled, LONGEST_PAUSE))) end
  local left = num(pause, 0) - now
  if left > 0 and left <= LONGEST_PAUSE then write_gate() return {} end
  if left ~= -now then drop(pause) end
  local slot = math.max(num(name, 0), now)
  if slot - now > math.max(LONGEST_QUEUE, options.patience) then slot = now end
  if slot - now > options.patience then return {} end
  put(name, slot + cfg.look_interval * (options.urgent and 0.5 or 1))
  write_gate()
  return { wait = slot - now }
end)
