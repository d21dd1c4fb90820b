-- adopt: take over holds of app users from another account. Of two holds of one app user the longer one stays.
--   KEYS[1]  the account's prefix
--   ARGV     caller, operation number, options (JSON: holds: [[HMAC, what the hold says (JSON), when it ends or false],
--   …]) returns  {"now", "adopted": how many are new here, or longer}
--include _drains
--include _once
local USERS, ENDS = K.held_users, K.hold_ends

local function adopt(user, entry, ends)
  if redis.call('HEXISTS', USERS, user) == 1 then
    local until_now = redis.call('ZSCORE', ENDS, 'u ' .. user)
    if not until_now or (ends and tonumber(ends) <= tonumber(until_now)) then return 0 end
  end
  redis.call('HSET', USERS, user, entry)
  if ends then redis.call('ZADD', ENDS, ends, 'u ' .. user) else redis.call('ZREM', ENDS, 'u ' .. user) end
  return 1
end

return once(function(now)
  local adopted = 0
  for _, hold in ipairs(options.holds) do adopted = adopted + adopt(hold[1], hold[2], hold[3]) end
  return { adopted = adopted }
end)
