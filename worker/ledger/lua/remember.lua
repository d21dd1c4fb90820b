-- remember: what was answered to a request that came with an Idempotency-Key, for a day (see forget.lua).
--   KEYS[1]  the account's prefix
--   ARGV     caller, operation number, options (JSON: step (begin | end | forget), key (a hash of it), body (a hash of
--   the
--            request), answer (of end))
--   returns  {"now", and of begin, where the key is known: "body": of the first request, "answer": the first one, or
--   none
--             while it is under way}
--   idem  hash  key -> '<hash of the body> <when (ms)> <answer>', the answer empty while it is under way
--   Whoever dies between begin and end leaves a mark that counts for a minute.
--include _once
local KEPT, UNDER_WAY = 86400000, 60000
local IDEM = K.idempotency

local function known(now)
  local stored = redis.call('HGET', IDEM, options.key)
  if not stored then return nil end
  local body, at, answer = string.match(stored, '^(%S+) (%d+) (.*)$')
  local age = math.abs(now - tonumber(at))  -- one of the future is of a clock that had erred
  if age < (answer == '' and UNDER_WAY or KEPT) then return body, answer end
end

return once(function(now)
  local found = {}
  if options.step == 'forget' then
    redis.call('HDEL', IDEM, options.key)
    return found
  end
  if options.step == 'begin' then
    local body, answer = known(now)
    if body then
      found.body, found.answer = body, answer ~= '' and answer or nil
      return found
    end
  end
  redis.call('HSET', IDEM, options.key, options.body .. ' ' .. ms(now) .. ' ' .. (options.answer or ''))
  return found
end)
