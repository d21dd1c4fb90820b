--include _transition
--include _erasure
-- Holds: what must not be sent. Kept apart from the deletions, so that a job may be held before anybody asks for it.
--   holds:jobs     hash    ref -> JSON {why, by, at, until}
--   holds:users    hash    HMAC of an app user -> the same
--   holds:ends     zset    'j <ref>' or 'u <hmac>'; score: when the hold ends by itself, or ended (see release.lua)
--   holds:unknown  zset    refs in `held` because it is unknown whose they are; score: when to ask again
-- A held deletion stands in `held` with the time when it would be due; its field `held_since` says since when, because its
-- deadline stands still meanwhile.
-- Its app user: `owner_hash` is the HMAC of the app user whose job a lookup found it to be ('-': no app user's); only a
-- lookup writes it. `app_user` is what a caller named and is sent with the call, `app_user_hash` its HMAC: enough to
-- hold a job, never to release one.

-- What a job left behind is on hold with the job, and with the app user whose job it was (see _erasure.lua).

-- Whether a job is on hold: 'job', 'user', 'lost' where the hold list was damaged; nil: it is not, or nobody knows whose
-- it was.
local function job_on_hold(job)
  if redis.call('HEXISTS', K.held_jobs, job) == 1 then return 'job' end
  local users = redis.call('HLEN', K.held_users)
  if spoilt.no_holds then return 'lost' end
  for _, user in ipairs(users > 0 and { redis.call('HGET', erasure(job), E.app_user_hash) or '', redis.call('HGET', erasure(job), E.owner_hash) or '' } or {}) do
    if redis.call('HEXISTS', K.held_users, user) == 1 then return 'user' end
  end
end

local any_hold  -- whether anything is on the hold list: no move asks, and puts something there
each_call(function() any_hold = nil end)
local function anything_on_hold()
  if any_hold == nil then any_hold = redis.call('EXISTS', K.held_jobs, K.held_users) > 0 end
  return any_hold
end

-- Why it must not be sent: 'job' or 'user'; 'ask' where that depends on whose job a lookup finds it to be; 'lost' where
-- the hold list was damaged; nil: it may go.
local function hold_of(ref, r)
  local with_job = r[F.parent] and job_on_hold(r[F.parent])
  if with_job then return with_job end
  if not spoilt.no_holds and not anything_on_hold() then return nil end
  if redis.call('HEXISTS', K.held_jobs, ref) == 1 then return 'job' end
  local users = redis.call('HLEN', K.held_users)
  if spoilt.no_holds then return 'lost' end
  if users == 0 then return nil end
  local user = r[F.owner_hash] or r[F.app_user_hash]
  if user and redis.call('HEXISTS', K.held_users, user) == 1 then return 'user' end
  return not r[F.owner_hash] and 'ask' or nil
end

-- Who put it on the hold list, and why.
local function held_by(ref, r, because)
  local job = because == 'job' and (redis.call('HGET', K.held_jobs, ref) or redis.call('HGET', K.held_jobs, r[F.parent] or ''))
  local text = job
    or because == 'user' and redis.call('HGET', K.held_users, r[F.owner_hash] or r[F.app_user_hash] or '')
  return table_of(text or '') or {}
end

-- learnt: what else is written of it, see transition().
local function hold(ref, r, now, due, because, learnt)
  local entry = held_by(ref, r, because)
  local again = r[F.waiting_for] == 'not_deletable_yet' and r[F.waiting_for] or nil  -- it waits for that once more
  transition(ref, r, 'held', due, { [F.held_since] = ms(now), [F.waiting_for] = again }, learnt)
  count_held(r, 1)
  note_event(ref, r, now, 'deletion.held', { hold = because, why = entry.why, by = entry.by })
  count('deletion.held ' .. because)
end

local function let_go(ref, r, now, bulletin)
  local due = math.max(now, number(redis.call('ZSCORE', K.held, ref), now))
  redis.call('ZREM', K.owner_unknown, ref)
  go_on_from_hold(ref, r, now)
  count_held(r, -1)
  transition(ref, r, 'pending', due, { [F.waiting_for] = due > now and (r[F.waiting_for] or (r[F.calls] and 'retry' or 'grace')) or nil })
  note_event(ref, r, now, 'deletion.released', bulletin)
  count('deletion.released')
end
