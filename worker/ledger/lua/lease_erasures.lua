-- lease_erasures: erasures that are due to be looked at. For `lease` ms nobody else gets them; whoever dies meanwhile
-- has changed nothing. One whose record is missing, or was put aside, ends as unverifiable.
--   KEYS[1]  the account's prefix
--   ARGV     caller, operation number, options (JSON: limit, lease (ms), gate)
--   returns  {"now", "erasures": [{ref, fields: [name, value, …] of its record, parts: [[ref, state, calls, cause or evidence] of
--            each part that has a deletion of its own], shared: [ids of parts that several jobs named], experiment: {schedule,
--            status, code (of the job's last DELETE)} of one that is watched, held: whether none of its parts may be
--            deleted now}, …], none
--            while nothing may be called}
--include _drains
--include _once
--include _gate
--include _hold
--include _places
--include _erasure

local function row(ref, now)
  local name = erasure(ref)
  redis.call('HINCRBY', name, E.leases, 1)
  local fields = redis.call('HGETALL', name)
  local found = { ref = ref, fields = fields, held = (not job_is_over(ref) or job_on_hold(ref)) and true or nil }
  local schedule = schedule_of(ref)
  if schedule then
    local last = redis.call('HMGET', record(ref), F.status, F.code)
    found.experiment = { schedule = schedule, status = number(last[1]), code = last[2] }
  end
  local parts, ids = parts_of(ref)
  for i, its in ipairs(parts) do
    local v = redis.call('HMGET', record(its), F.state, F.calls, F.cause, F.evidence)
    local mark = not v[1] and archived(its)
    if mark then  -- how many calls is not known, and of the evidence only that a call may have left
      local ours = mark[F.state] == 'gone' and mark[F.outcome_unknown]
      v = { mark[F.state], mark.archived.sent == 'yes' and 1, ours and 'after_our_call' }
    end
    if v[1] then
      found.parts = found.parts or {}
      table.insert(found.parts, { its, v[1], number(v[2], 0), v[3] or v[4] or '' })
    end
    if is_shared(its) then
      found.shared = found.shared or {}
      table.insert(found.shared, ids[i])
    end
  end
  return found
end

return once(function(now)
  local answer = {}
  if read_gate().paused or closure('account') or not clocks_agree() then return answer end
  for _, ref in ipairs(redis.call('ZRANGEBYSCORE', K.erasures, '-inf', ms(now), 'LIMIT', 0, options.limit)) do
    redis.call('ZREM', K.erasures, ref)
    local known = redis.call('EXISTS', erasure(ref)) == 1
    if not known and redis.call('EXISTS', record(ref)) == 1 then
      damage('erasure:' .. ref, 'what it left behind was to be looked at, and nothing is known of that')
      known = true
    end
    if not known then spoilt.tell(ref, 'it was to be looked at, and nothing is known of it')
    elseif lies_elsewhere(ref) then redis.call('ZADD', K.erasures, ms(now + options.lease), ref)
    else
      redis.call('ZADD', K.erasures, ms(now + options.lease), ref)
      answer.erasures = answer.erasures or {}
      table.insert(answer.erasures, row(ref, now))
    end
  end
  return answer
end)
