-- discard: a person gives a dead letter up, with a reason. `restore` takes it back within 30 days.
--   KEYS[1]  the account's prefix
--   ARGV     caller, operation number, options (JSON: why, by, act (see _audit.lua)), then up to 500 refs
--   returns  {"now", "results": ["discarded", or the state of one that is not dead, or "unknown"]}
--include _drains
--include _once
--include _claims
--include _policy_texts
--include _history
--include _counters
--include _receipt
--include _groups
--include _replays
--include _settle
--include _audit

local function discard(ref, r, now)
  if not r then return 'unknown' end
  if r[F.state] ~= 'dead' then return r[F.state] end
  note_event(ref, r, now, 'deletion.discarded', { why = options.why, by = options.by, finished_at = number(r[F.finished_at]) })
  finish(ref, r, now, 'discarded', r[F.cause], options)
  -- a restore needs the app user; when none is possible any more, `forget` takes it away
  if r[F.app_user] or r[F.owner_hash] then redis.call('ZADD', K.discarded_users, ms(now), ref) end
  return 'discarded'
end

return once(function(now) return { results = act_on_each(discard, now) } end)
