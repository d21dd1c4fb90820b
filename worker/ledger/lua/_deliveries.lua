-- Deliveries: one event on its way to one endpoint.
--   webhook:<endpoint>:<id>  hash  event, at, about (see _outbox.lua); failed: attempts of its budget that failed;
--                                  leases: how often a worker had it; lines: the last attempts, a line each:
--                                  '<at ms> <status or -> <took ms> <why>'; state: none while it waits, delivered, dead;
--                                  ended (ms)
--   webhooks                 zset  '<endpoint>:<id>'; score: when it was made
--   webhooks:due:<endpoint>  zset  ids of those that wait; score: when to try next, or when its lease ends
--   webhooks:dead:<endpoint> zset  ids of those that were given up; score: when
--   webhooks:counts          hash  '<endpoint> <made | delivered | failed | dead>' -> how many
local DELIVERIES_MOST = 10000  -- an account; of those that do not wait the oldest goes
local LOOKED_AT = 100
local ATTEMPTS_KEPT = 20

local function delivery(endpoint, id) return K.delivery .. endpoint .. ':' .. id end
local function count_delivery(endpoint, what) redis.call('HINCRBY', K.delivery_counts, endpoint .. ' ' .. what, 1) end

local function drop_delivery(name)
  local endpoint, id = string.match(name, '^([^:]*):(.*)$')
  redis.call('ZREM', K.deliveries, name)
  if endpoint then
    redis.call('ZREM', K.deliveries_due .. endpoint, id)
    redis.call('ZREM', K.deliveries_dead .. endpoint, id)
  end
  redis.call('DEL', K.delivery .. name)
end

-- Too many are kept: the oldest go, unless they wait.
local function drop_oldest()
  local over, from = redis.call('ZCARD', K.deliveries) - DELIVERIES_MOST, 0
  while over > 0 and from < 10 * LOOKED_AT do
    for _, name in ipairs(redis.call('ZRANGE', K.deliveries, from, from + LOOKED_AT - 1)) do
      if over > 0 and redis.call('HEXISTS', K.delivery .. name, 'state') == 1 then
        drop_delivery(name)
        over = over - 1
      else from = from + 1 end
    end
    if from >= redis.call('ZCARD', K.deliveries) then return end
  end
end
