-- look_at_clocks: a worker looks what time it is, at least twice a minute where anything is recorded: from there the
-- ledger's time goes on when Redis's clock jumps.
--   KEYS[1]  the account's prefix
--   ARGV     caller, operation number, options (JSON: {})
--   returns  {"now", "check": true where something has to be dated anew (see redate.lua)}
--include _drains
--include _gate
--include _keep_time

clock()
read_kept()  -- the gate would cost one command more
keep_time()
local answer = { now = tonumber(ms(clock())), check = to_check and true or nil }
tell_clocks(answer)
return cjson.encode(answer)  -- the same again does no harm: it needs no number
