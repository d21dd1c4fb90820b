-- Deliveries: one event on its way to one endpoint.
--   webhook:<endpoint>:<id>  hash  event, at, about (see _outbox.lua); failed: attempts of its budget that failed;
--                                  leases: how often a worker had it; lines: the last attempts, a line each:
--                                  '<at ms> <status or -> <took ms> <why>'; state: none while it waits, delivered, dead;
--                                  ended (ms)
--   webhooks                 zset  '<endpoint>:<id>'; score: when it was made, or replayed
--   webhooks:ended           zset  those of them that ended; score: when
--   webhooks:waiting:<endpoint> zset  ids of those that wait; score: since when
--   webhooks:due:<endpoint>  zset  the same; score: when to try next, or when its lease ends
--   webhooks:dead:<endpoint> zset  ids of those that were given up; score: when
--   webhooks:counts          hash  '<endpoint> <made | delivered | failed | dead>' -> how many
local ENDED_MOST = 10000    -- an account: of more the oldest go
local WAITING_MOST = 10000  -- an account and endpoint: of more the oldest are given up
local AT_ONCE = 1000
local ATTEMPTS_KEPT = 20

local function delivery(endpoint, id) return K.delivery .. endpoint .. ':' .. id end
local function count_delivery(endpoint, what) redis.call('HINCRBY', K.delivery_counts, endpoint .. ' ' .. what, 1) end

local function add_attempt(k, at, text)
  local lines = {}
  for one in string.gmatch(redis.call('HGET', k, 'lines') or '', '[^\n]+') do lines[#lines + 1] = one end
  lines[#lines + 1] = ms(at) .. ' ' .. text
  redis.call('HSET', k, 'lines', table.concat(lines, '\n', math.max(1, #lines - ATTEMPTS_KEPT + 1)))
end

local function waits_no_more(endpoint, id)
  redis.call('ZREM', K.deliveries_due .. endpoint, id)
  redis.call('ZREM', K.deliveries_waiting .. endpoint, id)
end

local function waits(now, endpoint, id)
  redis.call('ZADD', K.deliveries, ms(now), endpoint .. ':' .. id)
  redis.call('ZADD', K.deliveries_waiting .. endpoint, ms(now), id)
  redis.call('ZADD', K.deliveries_due .. endpoint, ms(now), id)
end

local function drop_delivery(name)
  local endpoint, id = string.match(name, '^([^:]*):(.*)$')
  redis.call('ZREM', K.deliveries, name)
  redis.call('ZREM', K.deliveries_ended, name)
  if endpoint then
    waits_no_more(endpoint, id)
    redis.call('ZREM', K.deliveries_dead .. endpoint, id)
  end
  redis.call('DEL', K.delivery .. name)
end

-- Each one that ends takes the place of the oldest that did, where there are too many.
local function end_delivery(now, endpoint, id, state)
  waits_no_more(endpoint, id)
  if state == 'dead' then redis.call('ZADD', K.deliveries_dead .. endpoint, ms(now), id)
  else redis.call('ZREM', K.deliveries_dead .. endpoint, id) end
  redis.call('HSET', delivery(endpoint, id), 'state', state, 'ended', ms(now))
  redis.call('ZADD', K.deliveries_ended, ms(now), endpoint .. ':' .. id)
  count_delivery(endpoint, state)
  local over = redis.call('ZCARD', K.deliveries_ended) - ENDED_MOST
  if over <= 0 then return end
  for _, name in ipairs(redis.call('ZRANGE', K.deliveries_ended, 0, math.min(over, AT_ONCE) - 1)) do drop_delivery(name) end
end

-- Without an attempt: it waited too long, or too many did.
local function give_up(now, endpoint, ids, why)
  for _, id in ipairs(ids) do
    add_attempt(delivery(endpoint, id), now, '- 0 not sent: ' .. why)
    end_delivery(now, endpoint, id, 'dead')
  end
  return #ids
end

-- Returns how many were given up because too many wait for this endpoint.
local function keep_few(now, endpoint)
  local waiting = K.deliveries_waiting .. endpoint
  local over = redis.call('ZCARD', waiting) - WAITING_MOST
  if over <= 0 then return 0 end
  local oldest = redis.call('ZRANGE', waiting, 0, math.min(over, AT_ONCE) - 1)
  return give_up(now, endpoint, oldest, 'too many waited, and it was the oldest')
end
