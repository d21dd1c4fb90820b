-- what_time: the ledger's time, for whoever shows times. Changes nothing.
--   KEYS[1]  the account's prefix
--   ARGV     '-', and behind a blank what time it is by the caller's clocks (see _clock.lua)
--   returns  ms since 1970, as text
--include _clock
return string.format('%.3f', clock())
