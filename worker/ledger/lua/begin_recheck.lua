-- begin_recheck: a person's recheck begins; or the scheduled one goes on, by one worker at a time, or begins anew.
--   KEYS[1]  the account's prefix
--   ARGV     caller, operation number, options (JSON: id (of a run that begins), by, key (the credential's fingerprint),
--            since (ms: only what finished since then); and of the scheduled one: worker, lease (ms), every (ms))
--   returns  {"now", "id", and of the scheduled one: "cursor", "started"}; or "next": when (ms) to come again
--   recheck         hash  of the scheduled one: worker, until (its lease), started, id, cursor: '<index> <score> <ref>',
--                         up to which everything was looked up; none: this round is over
--   rechecks        zset  ids of all runs; score: when they began
--   recheck:<id>    hash  at, last, ended, by, key, since, n:<result> (how many)
--include _once

local function begin(now)
  local entry = { 'at', ms(now), 'last', ms(now), 'key', options.key }
  for _, name in ipairs({ 'by', 'since' }) do
    if options[name] then entry[#entry + 1], entry[#entry + 2] = name, options[name] end
  end
  redis.call('HSET', K.recheck_run .. options.id, unpack(entry))
  redis.call('ZADD', K.rechecks, ms(now), options.id)
end

return once(function(now)
  if not options.every then
    begin(now)
    return { id = options.id }
  end
  local v = redis.call('HMGET', K.recheck, 'until', 'worker', 'cursor', 'started', 'id')
  local until_ms, started = number(v[1], 0), number(v[4], 0)
  if until_ms > now and until_ms <= now + options.lease and v[2] ~= options.worker then return { next = tonumber(ms(until_ms)) } end
  if not v[3] or not v[5] then
    if started <= now and now - started < options.every then return { next = tonumber(ms(started + options.every)) } end
    begin(now)
    v[3], v[5], started = 'deleted 0 -', options.id, now
    redis.call('HSET', K.recheck, 'cursor', v[3], 'id', v[5], 'started', ms(now))
  end
  redis.call('HSET', K.recheck, 'worker', options.worker, 'until', ms(now + options.lease))
  return { id = v[5], cursor = v[3], started = started }
end)
