-- Whether a DELETE was ever sent for it, in any round: 'yes', 'no', or 'perhaps': a worker was lost that may have sent
-- one, or lines of its history went (see _history.lua).
local function sent(k)
  local v = redis.call('HMGET', k, F.past_history, F.history, F.calls, F.outcome_unknown, F.history_dropped)
  if number(v[3], 0) > 0 or string.find('\n' .. (v[1] or '') .. '\n' .. (v[2] or ''), '\nA ') then return 'yes' end
  return (v[4] == '1' or v[5]) and 'perhaps' or 'no'
end
