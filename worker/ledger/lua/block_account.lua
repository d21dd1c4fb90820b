-- block_account: a worker cannot call for this account, for want of credentials or of an address. The gate says so, and
-- nobody is called for
--      a while, unless other workers' keys were good a moment ago: one machine's missing file must not stop the others.
--   KEYS[1]  the account's prefix
--   ARGV     caller, operation number, options (JSON: cause ('credentials' | 'misconfigured'), why, gate)
--   returns  {"now", "until": ms since 1970 when it is tried again; null where it did not close}
--include _drains
--include _once
--include _gate

return once(function(now)
  local account = closure('account')
  if good_key_lately(now) or (account and account.cause ~= options.cause) then return {} end
  close(now, 'account', { cause = options.cause, why = options.why, pause = options.gate.block_pause })
  write_gate()
  return { ['until'] = closure('account')['until'] }
end)
