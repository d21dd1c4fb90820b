-- begin_experiment: a throw-away job is to show how MetaStudio treats what a job leaves. Its deletion is asked for next.
--   KEYS[1]  the account's prefix
--   ARGV     caller, operation number, options (JSON: schedule (JSON: seconds after the DELETE), why, by,
--            act (see _audit.lua)), then the job's ref
--   returns  {"now", "results": ["begun" | "running": it had begun already | "requested": its deletion was asked for
--            before, so nobody knows what it had]}
--include _once
--include _audit
--include _experiment
local MOST = 10  -- experiments; the oldest goes

local function begin(ref, r, now)
  local name = experiment(ref)
  local kept = redis.call('HMGET', name, 'at', 'closed')
  if kept[1] and not kept[2] then return 'running' end
  if r then return 'requested' end
  redis.call('DEL', name)
  redis.call('HSET', name, 'by', options.by or '', 'why', options.why or '', 'at', ms(now), 'schedule', options.schedule)
  redis.call('ZADD', K.experiments, ms(now), ref)
  for _, old in ipairs(redis.call('ZRANGE', K.experiments, 0, -MOST - 1)) do
    redis.call('ZREM', K.experiments, old)
    redis.call('DEL', experiment(old))
  end
  return 'begun'
end

return once(function(now) return { results = act_on_each(begin, now) } end)
