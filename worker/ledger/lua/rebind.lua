-- rebind: the account has another address from now on. Only where nothing waits that was asked for at the old one.
--   KEYS[1]  the account's prefix
--   ARGV     caller, operation number (without an address: it is the one that is wrong), options (JSON: endpoint, act
--   (see
--            _audit.lua), plan: true only looks)
--   returns  {"now", "was": the address before, if any, "bound": whether it is the new one now,
--             "waits": {pending, running, held, dead}: how many}
--   What the gate knows of the old address is forgotten, but for an operator's pause, and what is counted.
--include _once
--include _gate
--include _audit

local function forget_gate(now)
  for _, name in ipairs(redis.call('HKEYS', K.closures)) do
    local c = closure(name)
    if c and not c.quiet then tell_opened(now, name, c) end
  end
  for _, name in ipairs(redis.call('HKEYS', K.gate)) do
    local family = string.match(name, '^nth:(.+)')
    if family then redis.call('DEL', K.failing_of .. family) end
    if not string.match(name, '^paused') and not string.match(name, '^[ne]:') then redis.call('HDEL', K.gate, name) end
  end
  redis.call('DEL', K.closures, K.probes, K.failing, K.forbidden)
end

return once(function(now)
  local was = redis.call('HGET', K.account, 'endpoint')
  local waits, free = {}, true
  for index, state in pairs(spoilt.state_of) do
    if OPEN[state] or state == 'dead' then waits[state] = (waits[state] or 0) + redis.call('ZCARD', KEYS[1] .. index) end
    free = free and (waits[state] or 0) == 0
  end
  local bound = was == options.endpoint
  if free and not bound and not options.plan then
    forget_gate(now)
    redis.call('HSET', K.account, 'endpoint', options.endpoint, 'since', ms(now))
    audit(now, { rebound = 1 })
    bound = true
  end
  return { was = was or nil, bound = bound, waits = waits }
end)
