-- block_account: a worker cannot call for this account, for want of credentials or of an address. The gate says so, and
-- nobody is called for
--      a while, unless other workers' keys were good a moment ago: one machine's missing file must not stop the others.
--   KEYS[1]  the account's prefix
--   ARGV     caller, operation number, options (JSON: cause ('credentials' | 'misconfigured'), why, gate)
--   returns  {"now", "until": ms since 1970 when it is tried again; null where it did not close}
--include _clock
--include _account
--include _drains
--include _once
--include _gate
local options = cjson.decode(ARGV[3])

return once(ARGV[1], ARGV[2], function()
  local now = clock()
  local account = closure('account')
  if good_key_lately(now) or (account and account.cause ~= options.cause) then return { now = tonumber(ms(now)) } end
  close(now, 'account', { cause = options.cause, why = options.why, pause = options.gate.bar_pause })
  write_gate()
  return { now = tonumber(ms(now)), ['until'] = closure('account')['until'] }
end)
