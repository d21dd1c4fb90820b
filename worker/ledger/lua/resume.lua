-- resume: a person says that calls may go again. Refused keys and closed gates are forgotten: the next call is a probe.
--   KEYS[1]  the account's prefix
--   ARGV     caller, operation number, options (JSON: gate, act (see _audit.lua))
--   returns  {"now", "was": what kept it closed or null, "ring": bell}
--include _clock
--include _account
--include _drains
--include _once
--include _gate
--include _ring
--include _audit
local options = cjson.decode(ARGV[3])

return once(ARGV[1], ARGV[2], function()
  local now = clock()
  local g = read_gate()
  local was = g.paused and 'paused' or g.block
  local stale = { 'paused', 'paused_at', 'paused_by', 'block', 'block_at', 'block_until', 'block_pause', 'block_why',
    'probe_until', 'throttled_until', 'throttles', 'slow' }
  for name in pairs(g) do
    if string.sub(name, 1, 4) == 'bad:' or string.sub(name, 1, 5) == 'good:' then stale[#stale + 1] = name end
  end
  drop(unpack(stale))
  write_gate()
  audit(now, options.act, { was or 'ok' })
  return { now = tonumber(ms(now)), was = was, ring = ring(now, options.gate) }
end)
