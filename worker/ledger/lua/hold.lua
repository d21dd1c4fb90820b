-- hold: nothing is sent for these jobs, or for any job of this app user, until the hold is removed or ends.
--   KEYS[1]  the account's prefix
--   ARGV     caller, operation number, options (JSON: why, by, until (ms since 1970), user (HMAC), every (bool: in all
--            accounts, those to come too),
--            act (see _audit.lua)), then up to 500 refs
--   returns  {"now", "results": one a ref: "held", "may_be_deleted" (held; an earlier call had no clear answer),
--             "in_flight" (held if the call under way deletes nothing), the state of one that does not wait, or "none"}
--   What waits is held at once; what is under way, asked for or replayed later is held when an executor would take it.
--include _clock
--include _account
--include _drains
--include _once
--include _claims
--include _places
--include _history
--include _counters
--include _replays
--include _hold
--include _audit
local options = cjson.decode(ARGV[3])

local function write(hash, member, name, now)
  local said = { why = options.why, by = options.by, at = tonumber(ms(now)), ['until'] = options['until'], every = options.every }
  redis.call('HSET', P .. hash, member, cjson.encode(said))
  if options['until'] then redis.call('ZADD', K.hold_ends, ms(options['until']), name)
  else redis.call('ZREM', K.hold_ends, name) end
end

local function hold_job(ref, now)
  write('holds:jobs', ref, 'j ' .. ref, now)
  local v = redis.call('HMGET', record(ref), F.state, F.lane, F.round, F.outcome_unknown, F.cancel_requested, F.unsent, F.previous_due)
  if not v[1] then return 'none' end
  if v[1] == 'running' and not v[6] then return 'in_flight' end
  if v[1] ~= 'pending' and v[1] ~= 'running' then return v[1] end
  if v[5] == 'cancel' then return 'pending' end  -- only a look is still to come, or under way
  local due = number(v[7] or redis.call('ZSCORE', index_of(v[1], v[2]), ref), now)
  hold(ref, now, v[1], v[2], due, v[3] or '1', 'job')
  return v[4] == '1' and 'may_be_deleted' or 'held'
end

return once(ARGV[1], ARGV[2], function()
  local elsewhere = not_here(options)
  if elsewhere then return elsewhere end
  local now = clock()
  local answer = { now = tonumber(ms(now)) }
  if options.user then write('holds:users', options.user, 'u ' .. options.user, now) end
  if #ARGV > 3 then answer.results = {} end
  for i = 4, #ARGV do answer.results[i - 3] = hold_job(ARGV[i], now) end
  audit(now, options.act, answer.results or { 'held' }, ARGV[4])
  return answer
end)
