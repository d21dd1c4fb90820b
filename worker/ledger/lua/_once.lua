-- A caller numbers its operations. The last one again: its first answer again. An older one, delayed on the way:
-- nothing. Refs that come along are looked at first (see _damage.lua).
-- Measured: a client library that retries by itself runs a script twice when an answer is lost.
--   ops  hash  caller -> '<number> <when (ms)> <answer>' of its last operation; `forget` takes away what is an hour
--   old.
--              No expiry of Redis's: that would come early when Redis's clock jumps.
-- Behind the number, and a blank, stands the address of MetaStudio that the caller's settings name, if they name one,
-- and what time it is by its clocks (see _clock.lua). An account has one address, from its first use on (`account`:
-- endpoint, since), and nobody acts on it who has another: jobs of one MetaStudio are not there at the other, so each
-- of them would look like one that is gone.
local OPS = K.operations

local function once(caller, said, body)
  local number, endpoint = string.match(said, '^(%d+) ?([^ @]*)')
  local seq = tonumber(number)
  local n, answer = string.match(redis.call('HGET', OPS, caller) or '', '^(%d+) %d+ (.*)$')
  if n and tonumber(n) == seq then return answer end
  if n and tonumber(n) > seq then return '{"stale":true}' end
  if endpoint ~= '' then
    local bound = redis.call('HGET', K.account, 'endpoint')
    if bound and bound ~= endpoint then return cjson.encode({ elsewhere = bound }) end
    if not bound then
      redis.call('ZREM', K.waiting_executors, '-')  -- see _drains.lua
      redis.call('HSET', K.account, 'endpoint', endpoint, 'since', ms(clock()))
    end
  end
  for i = 4, #ARGV do sound(ARGV[i]) end
  local found = body()
  tell_clocks(found)
  if #spoilt.told > 0 then found.damage = spoilt.told end
  local text = cjson.encode(found)
  redis.call('HSET', OPS, caller, seq .. ' ' .. ms(clock()) .. ' ' .. text)
  return text
end
