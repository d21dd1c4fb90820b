-- restore: a discarded dead letter is dead again, as it was, for 30 days after it was discarded.
--   KEYS[1]  the account's prefix
--   ARGV     caller, operation number, options (JSON: why, by, within (ms), act (see _audit.lua)), then up to 500 refs
--   returns  {"now", "results": ["dead", "too_late", or the state of one that is not discarded, or "unknown"]}
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

-- When it died, by the event that gave it up.
local function death(r, now)
  local line = string.match('\n' .. (r[F.history] or ''), '.*\nE %d+ ([^\n]*"deletion.discarded"[^\n]*)')
  return number((table_of(line or '') or {}).finished_at, now)
end

local function restore(ref, r, now)
  if not r then return 'unknown' end
  if r[F.state] ~= 'discarded' then return r[F.state] end
  if now - number(r[F.finished_at], now) > options.within then return 'too_late' end
  note_event(ref, r, now, 'deletion.restored', { why = options.why, by = options.by })
  local died = death(r, now)
  options.finished_at = ms(died)
  finish(ref, r, now, 'dead', r[F.cause], options, 'restored')
  redis.call('HSET', record(ref), F.finished_at, ms(died))
  redis.call('ZADD', K.dead, ms(died), ref)
  joins_group(ref, ms(died))
  return 'dead'
end

return once(function(now) return { results = act_on_each(restore, now) } end)
