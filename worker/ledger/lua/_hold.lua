--include _transition
-- Holds: what must not be sent. Kept apart from the deletions, so that a job may be held before anybody asks for it.
--   holds:jobs     hash    ref -> JSON {why, by, at, until}
--   holds:users    hash    HMAC of an app user -> the same
--   holds:ends     zset    'j <ref>' or 'u <hmac>'; score: when the hold ends by itself, or ended (see release.lua)
--   holds:unknown  zset    refs in `held` because nobody could say whose they are; score: when to ask again
-- A held deletion stands in `held` with the time when it would be due; its field `ht` says since when, because its
-- deadline stands still meanwhile.
-- Its app user: field `owner` is the HMAC of whose job a look found it to be ('-': nobody's); only a look writes it.
-- `user` is what a caller said and goes with the call, `au` the HMAC of that: enough to hold a job, never to let one
-- go.

-- Why it must not be sent: 'job' or 'user'; 'ask' where that depends on whose job a look finds it to be; 'lost' where
-- the hold list was damaged; nil: it may go.
local function hold_of(ref)
  if redis.call('HEXISTS', K.held_jobs, ref) == 1 then return 'job' end
  local users = redis.call('HLEN', K.held_users)
  if spoilt.no_holds then return 'lost' end
  if users == 0 then return nil end
  local v = redis.call('HMGET', record(ref), F.owner_hash, F.app_user_hash)
  if v[1] and not spoilt.fits(F.owner_hash, v[1]) then v[1] = nil end  -- else what is on hold would go
  local user = v[1] or v[2]
  if user and redis.call('HEXISTS', K.held_users, user) == 1 then return 'user' end
  return not v[1] and 'ask' or nil
end

local function hold(ref, now, from, lane, due, round, because)
  transition(ref, from, 'held', lane, due, { [F.held_since] = ms(now) })
  count_held(record(ref), 1)
  note_event(ref, now, 'deletion.held', { hold = because }, round)
  count('deletion.held ' .. because)
end

local function let_go(ref, now, bulletin)
  local k = record(ref)
  local v = redis.call('HMGET', k, F.lane, F.round, F.calls)
  local due = math.max(now, number(redis.call('ZSCORE', K.held, ref), now))
  redis.call('ZREM', K.owner_unknown, ref)
  go_on_from_hold(ref, now)
  count_held(k, -1)
  transition(ref, 'held', 'pending', v[1], due, { [F.waiting_for] = due > now and (v[3] and 'retry' or 'grace') or nil })
  note_event(ref, now, 'deletion.released', bulletin, v[2] or '1')
  count('deletion.released')
end
