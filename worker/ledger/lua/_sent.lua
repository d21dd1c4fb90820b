-- Whether a DELETE was ever sent for it, in any round: 'yes', 'no', or 'perhaps': a worker was lost that may have sent
-- one, or lines of its history went (see _history.lua).
local function sent(r)
  if r.archived then return r.archived.sent end
  if number(r[F.calls], 0) > 0 then return 'yes' end
  local lines = '\n' .. (r[F.past_history] or '') .. '\n' .. (r[F.history] or '')
  local before = string.match(lines, '"deletion.archived","sent":"(%l+)"')  -- of the rounds that were archived
  if string.find(lines, '\nA ', 1, true) or before == 'yes' then return 'yes' end
  return (before == 'perhaps' or r[F.outcome_unknown] == '1' or r[F.history_dropped]) and 'perhaps' or 'no'
end
