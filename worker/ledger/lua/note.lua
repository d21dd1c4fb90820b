-- note: write an act of an operator's into the audit that no move of the ledger did.
--   KEYS[1]  the account's prefix
--   ARGV     caller, operation number, options (JSON: act (see _audit.lua), result, number)
--   returns  {"now"}
--include _once
--include _audit

return once(function(now)
  audit(now, { [options.result] = options.number })
  return {}
end)
