-- A caller numbers its operations. The last one again: its first answer again. An older one, delayed on the way: nothing.
-- Measured: a client library that retries by itself runs a script twice when an answer is lost.
-- Behind the number, and a blank, stands the address of MetaStudio that the caller's settings name, if they name one. An
-- account has one address, from its first use on (`account`: endpoint, since), and nobody acts on it who has another:
-- jobs of one MetaStudio are not there at the other, so each of them would look like one that is gone.
local function once(caller, said, body)
  local seq, endpoint = string.match(said, '^(%d+) ?(.*)$')
  local k = P .. 'op:' .. caller
  local last = redis.call('GET', k)
  if last then
    local blank = string.find(last, ' ', 1, true)
    local n = tonumber(string.sub(last, 1, blank - 1))
    if n == tonumber(seq) then return string.sub(last, blank + 1) end
    if n > tonumber(seq) then return '{"stale":true}' end
  end
  if endpoint ~= '' then
    local bound = redis.call('HGET', P .. 'account', 'endpoint')
    if bound and bound ~= endpoint then return cjson.encode({ elsewhere = bound }) end
    if not bound then
      redis.call('ZREM', P .. 'waiting', '-')  -- see _drains.lua
      redis.call('HSET', P .. 'account', 'endpoint', endpoint, 'since', ms(clock()))
    end
  end
  local answer = cjson.encode(body())
  redis.call('SET', k, seq .. ' ' .. answer, 'PX', 3600000)
  return answer
end
