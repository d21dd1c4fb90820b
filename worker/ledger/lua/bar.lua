-- bar: a worker cannot call for this account, for want of credentials or of an address. The gate says so, and nobody is called for
--      a while, unless other workers' keys were good a moment ago: one machine's missing file must not stop the others.
--   KEYS[1]  the account's prefix
--   ARGV     caller, operation number, options (JSON: block ('credentials' | 'misconfigured'), why, gate)
--   returns  {"now", "until": ms since 1970 when it is tried again; null where it did not close}
--include _clock
--include _account
--include _drains
--include _once
--include _gate
local LATELY = 120000  -- ms; a key in use is noted as good once a minute
local options = cjson.decode(ARGV[3])

local function others_can(now)
  for name, at in pairs(read_gate()) do
    if string.sub(name, 1, 5) == 'good:' and now - tonumber(at) < LATELY then return true end
  end
  return false
end

return once(ARGV[1], ARGV[2], function()
  local now = clock()
  local block = read_gate().block
  if others_can(now) or (block and block ~= options.block) then return { now = tonumber(ms(now)) } end
  close(now, options.block, options.why, options.gate.credentials_pause)
  write_gate()
  return { now = tonumber(ms(now)), ['until'] = tonumber(ms(num('block_until', now))) }
end)
