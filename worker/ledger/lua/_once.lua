-- A caller numbers its operations. The last one again: its first answer again. An older one, delayed on the way: nothing.
-- Measured: a client library that retries by itself runs a script twice when an answer is lost.
local function once(caller, seq, body)
  local k = P .. 'op:' .. caller
  local last = redis.call('GET', k)
  if last then
    local blank = string.find(last, ' ', 1, true)
    local n = tonumber(string.sub(last, 1, blank - 1))
    if n == tonumber(seq) then return string.sub(last, blank + 1) end
    if n > tonumber(seq) then return '{"stale":true}' end
  end
  local answer = cjson.encode(body())
  redis.call('SET', k, seq .. ' ' .. answer, 'PX', 3600000)
  return answer
end
