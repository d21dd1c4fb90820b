-- Where each lane begins to be open: what is due in a closed project is passed over and delays nobody else, so a lane
-- is remembered to be open from there on (past:<lane>: a due time; ties:<lane>: so many of that very time were passed
-- over). That is a hint: it is forgotten when something opens, and now and then.
local LANES = { 'user', 'bulk' }
local FORGET = 600000  -- ms

local function first_open(lane, now)
  if num('closed', 0) == 0 or not read_gate()['past:' .. lane] then return 0 end
  local past = num('past:' .. lane, 0)
  if past > now or now - num('past_at', 0) > FORGET then
    drop('past:' .. lane, 'ties:' .. lane)
    return 0
  end
  return redis.call('ZCOUNT', index_of('pending', lane), '-inf', '(' .. ms(past)) + num('ties:' .. lane, 0)
end

local function passed_over(lane, now, score, rank)
  if not read_gate()['past:' .. lane] then put('past_at', now) end
  put('past:' .. lane, score)
  put('ties:' .. lane, rank - redis.call('ZCOUNT', index_of('pending', lane), '-inf', '(' .. score))
end

-- When the next deletion is due (ms since 1970) that no closed project stops, the user lane first if it is due; nil:
-- none.
local function next_due(now)
  local soonest
  for _, lane in ipairs(LANES) do
    local rank = first_open(lane, now)
    local head = redis.call('ZRANGE', index_of('pending', lane), rank, rank, 'WITHSCORES')
    if head[2] then
      local at = math.max(0, tonumber(head[2]))
      if at <= now then return at end
      if at < (soonest or math.huge) then soonest = at end
    end
  end
  return soonest
end
