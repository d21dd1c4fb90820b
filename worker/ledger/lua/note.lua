-- note: write an act of an operator's into the audit that no move of the ledger did.
--   KEYS[1]  the account's prefix
--   ARGV     caller, operation number, options (JSON: act (see _audit.lua), result, number)
--   returns  {"now"}
--include _clock
--include _account
--include _once
--include _audit
local options = cjson.decode(ARGV[3])

return once(ARGV[1], ARGV[2], function()
  local now, results = clock(), {}
  for i = 1, options.number do results[i] = options.result end
  audit(now, options.act, results)
  return { now = tonumber(ms(now)) }
end)
