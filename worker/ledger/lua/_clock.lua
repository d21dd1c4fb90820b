-- The only clock of the ledger is Redis's own: milliseconds since 1970, with a fraction.
local function clock()
  local t = redis.call('TIME')
  return tonumber(t[1]) * 1000 + tonumber(t[2]) / 1000
end
