-- rescue: leases that ran out go back to due; three whose workers are gone are a dead letter `worker_lost`.
--   KEYS[1]  the account's prefix
--   ARGV     caller, operation number, options (JSON): alive (ids of workers with a recent heartbeat), counts (bool), limit
--            counts is false after Redis itself was away: then no heartbeat could arrive, and nobody is counted as lost
--   returns  {"now", "rescued": [[ref, "pending" | "dead"], …], "next": when the next lease ends}
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
local alive
each_call(function()
  alive = {}
  for _, worker in ipairs(options.alive) do alive[worker] = true end
end)

local function rescue(ref, r, now)
  local k, lost, withdrawn = record(ref), tonumber(r[F.leases_lost] or '0'), r[F.cancel_requested] == 'cancel'
  local gone = options.counts and not alive[r[F.worker] or '']
  if gone then lost = lost + 1 end
  note_event(ref, r, now, 'deletion.lost', { worker = r[F.worker], counted = gone or nil, unsent = r[F.unsent] and true or nil })
  count('deletion.lost ' .. (gone and 'worker_gone' or 'nobody_blamed'))
  redis.call('HSET', k, F.leases_lost, lost)
  if not r[F.unsent] then redis.call('HSET', k, F.outcome_unknown, '1') end  -- a call may have left
  if lost >= 3 and not withdrawn then  -- what was withdrawn is only looked for: a replay must not send it
    note_event(ref, r, now, 'deletion.died', { cause = 'worker_lost' })
    finish(ref, r, now, 'dead', 'worker_lost')
    return 'dead'
  end
  transition(ref, r, 'pending', now, { [F.waiting_for] = 'retry', [F.lookup_count] = withdrawn and '1' or nil })
  return 'pending'
end

return once(function(now)
  keep_time()
  local rescued = {}
  -- a clock that jumped ends no lease
  if not clocks_agree() then return { next = tonumber(ms(now + LATER)) } end
  for _, ref in ipairs(redis.call('ZRANGEBYSCORE', K.running, '(-inf', ms(now), 'LIMIT', 0, options.limit)) do
    local r = belongs(ref, 'running')
    if r then
      redis.call('ZREM', K.running, ref)
      rescued[#rescued + 1] = { ref, rescue(ref, r, now) }
    end
  end
  local head = redis.call('ZRANGE', K.running, 0, 0, 'WITHSCORES')
  local answer = { next = number(head[2]) }
  if #rescued > 0 then answer.rescued = rescued end
  return answer
end)
