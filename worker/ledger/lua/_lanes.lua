-- Where each queue (see _account.lua) begins to be open: what is due in a closed project is passed over and delays
-- nobody else, so a queue is remembered to be open from there on (past:<queue>: a due time; ties:<queue>: so many of that very time were passed
-- over). That is a hint: it is forgotten when something opens, and now and then.
local LANES = { 'user', 'bulk' }
local FORGET = 600000  -- ms

local function first_open(queue, now)
  if num('closed', 0) == 0 or not read_gate()['past:' .. queue] then return 0 end
  local past = num('past:' .. queue, 0)
  if past > now or now - num('past_at', 0) > FORGET then
    drop('past:' .. queue, 'ties:' .. queue)
    return 0
  end
  return redis.call('ZCOUNT', K.due .. queue, '-inf', '(' .. ms(past)) + num('ties:' .. queue, 0)
end

local function passed_over(queue, now, score, rank)
  if not read_gate()['past:' .. queue] then put('past_at', now) end
  put('past:' .. queue, score)
  put('ties:' .. queue, rank - redis.call('ZCOUNT', K.due .. queue, '-inf', '(' .. score))
end

-- When the next deletion of a kind is due (ms since 1970) that no closed project stops, the user lane first if it is due; nil:
-- none.
local function next_due(now, cfg)
  local soonest
  for _, lane in ipairs(LANES) do
    local queue = lane .. (cfg.queue or '')
    local rank = first_open(queue, now)
    local head = redis.call('ZRANGE', K.due .. queue, ms(rank), ms(rank), 'WITHSCORES')
    if head[2] then
      local at = math.max(0, tonumber(head[2]))
      if at <= now then return at end
      if at < (soonest or math.huge) then soonest = at end
    end
  end
  return soonest
end
