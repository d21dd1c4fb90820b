-- record_look: what a look at what some jobs left behind has found.
--   KEYS[1]  the account's prefix
--   ARGV     caller, operation number, options (JSON: steps: one a ref: leases (of the lease), related, parts (JSON), looks,
--            verdict, next (ms since 1970; none: it is closed), left (bool: it left something), answers (of an experiment: JSON
--            lines), watched (bool: it is not over), damaged (why its parts make no sense: they are put aside)), then up to 500 refs
--   returns  {"now", "results": one a ref: "open" | "closed" | "stale" (somebody else looked since, or it began anew)}
--include _once
--include _receipt
--include _erasure
local function record_look(ref, step, now)
  local name = erasure(ref)
  if tonumber(redis.call('HGET', name, E.leases) or '-1') ~= step.leases then return 'stale' end
  redis.call('HINCRBY', name, E.leases, 1)
  if step.damaged then
    local text = redis.call('HGET', name, E.parts)
    redis.call('SET', K.put_aside .. 'erasure:' .. ref, text or '')
    damage('erasure:' .. ref, step.damaged, text)
    redis.call('HSET', name, E.inventory, 'none')
  end
  redis.call('HSET', name, E.parts, step.parts, E.looks, step.looks)
  local was = redis.call('HGET', name, E.verdict)
  set_verdict(ref, step.verdict)
  if step.left then redis.call('ZADD', K.left_behind, 'NX', ms(now), ref) else redis.call('ZREM', K.left_behind, ref) end
  redis.call('ZREM', K.erasures, ref)
  if step.answers then keep_answers(ref, step.answers, not step.watched, now) end
  if step.next then
    look_again(ref, now, step.next)
    return 'open'
  end
  redis.call('HSET', name, E.closed_at, ms(now))
  forget_user(ref)
  emit(now, 'erasure.closed', { ref = ref, verdict = step.verdict })
  if was ~= step.verdict then receipt_again(ref, now) end
  return 'closed'
end

return once(function(now)
  local results = {}
  for i = 4, #ARGV do results[i - 3] = record_look(ARGV[i], options.steps[i - 3], now) end
  return { results = results }
end)
