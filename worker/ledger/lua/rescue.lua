-- rescue: leases that ran out go back to due; three whose workers are gone are a dead letter `worker_lost`.
--   KEYS[1]  the account's prefix
--   ARGV     caller, operation number, options (JSON): alive (worker ids heard of lately), counts (bool), limit
--            counts is false after Redis itself was away: then nobody could be heard, and nobody is counted as lost
--   returns  {"now", "rescued": [[ref, "pending" | "dead"], …], "next": when the next lease ends}
--include _clock
--include _account
--include _drains
--include _once
--include _claims
--include _policy_texts
--include _history
--include _counters
--include _groups
--include _gate
--include _receipt
--include _replays
--include _settle
--include _keep_time
local LATER = 5000  -- ms
local options = cjson.decode(ARGV[3])
local alive = {}
for _, worker in ipairs(options.alive) do alive[worker] = true end

local function rescue(ref, now)
  local k = record(ref)
  local v = redis.call('HMGET', k, F.worker, F.leases_lost, F.lane, F.round, F.cancel_requested, F.unsent)
  local lost = tonumber(v[2] or '0')
  local gone = options.counts and not alive[v[1] or '']
  if gone then lost = lost + 1 end
  note_event(ref, now, 'deletion.lost', { worker = v[1] or nil, counted = gone or nil, unsent = v[6] and true or nil }, v[4] or '1')
  count('deletion.lost ' .. (gone and 'worker_gone' or 'nobody_blamed'))
  redis.call('HSET', k, F.leases_lost, lost)
  if not v[6] then redis.call('HSET', k, F.outcome_unknown, '1') end  -- a call may have left
  if lost >= 3 and v[5] ~= 'cancel' then  -- what was withdrawn is only looked for: a replay must not send it
    note_event(ref, now, 'deletion.died', { cause = 'worker_lost' }, v[4] or '1')
    finish(ref, now, 'running', v[3], 'dead', 'worker_lost')
    return 'dead'
  end
  transition(ref, 'running', 'pending', v[3], now,
    { [F.waiting_for] = 'retry', [F.lookup_count] = v[5] == 'cancel' and '1' or nil })
  return 'pending'
end

return once(ARGV[1], ARGV[2], function()
  keep_time()
  local now, rescued = clock(), {}
  -- a clock that jumped ends no lease
  if not clocks_agree() then return { now = tonumber(ms(now)), next = tonumber(ms(now + LATER)) } end
  for _, ref in ipairs(redis.call('ZRANGEBYSCORE', K.running, '(-inf', ms(now), 'LIMIT', 0, options.limit)) do
    if belongs(ref, 'running') then
      redis.call('ZREM', K.running, ref)
      rescued[#rescued + 1] = { ref, rescue(ref, now) }
    end
  end
  local head = redis.call('ZRANGE', K.running, 0, 0, 'WITHSCORES')
  local answer = { now = tonumber(ms(now)), next = number(head[2]) }
  if #rescued > 0 then answer.rescued = rescued end
  return answer
end)
