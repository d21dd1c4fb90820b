-- due_wakeup: does somebody have to be called? The dispatcher asks; a lost wake-up costs one tick.
--   KEYS[1]  the account's prefix
--   ARGV     caller, operation number, options (JSON): gate (see _gate.lua), key (the fingerprint of the caller's)
--   returns  {"now", "wakeup": its number, "next": ms since 1970 when somebody should look again,
--             "lost": true where a lease ran out (see rescue.lua),
--             "replays": ids of replays that somebody has to drive, if there are any}
--include _drains
--include _once
--include _gate
--include _wakeups
--include _keep_time
local SOON = 500    -- ms: executors at work call each other; the dispatcher comes back for a wake-up that was lost
local LATER = 5000  -- ms; while clocks disagree what is due may have to wait
return once(function(now)
  keep_time()
  local answer = { wakeup = notify(now, options.gate, options.key) }
  local at = next_look(now, options.gate, options.key)
  if at then answer.next = tonumber(ms(at > now and at or now + (clocks_agree() and SOON or LATER))) end
  local lease = redis.call('ZRANGE', K.running, 0, 0, 'WITHSCORES')
  local ends = number(lease[2])
  if ends and (not answer.next or ends < answer.next) then answer.next = ends end
  answer.lost = ends and ends < now and clocks_agree() or nil
  local replays = redis.call('ZRANGE', K.replays_feeding, 0, 9)
  if #replays > 0 then answer.replays = replays end
  write_gate()
  return answer
end)
