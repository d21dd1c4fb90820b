-- Holds: what must not be sent. Kept apart from the deletions, so that a job may be held before anybody asks for it.
--   holds:jobs     hash    ref -> JSON {why, by, at, until}
--   holds:users    hash    HMAC of an app user -> the same
--   holds:ends     zset    'j <ref>' or 'u <hmac>'; score: when the hold ends by itself, or ended (see release.lua)
--   holds:unknown  zset    refs in `held` because nobody could say whose they are; score: when to ask again
-- A held deletion stands in `held` with the time when it would be due; its field `ht` says since when, because its
-- deadline stands still meanwhile.
-- Its app user: field `owner` is the HMAC of whose job a look found it to be ('-': nobody's); only a look writes it. `user`
-- is what a caller said and goes with the call, `au` the HMAC of that: enough to hold a job, never to let one go.

-- Why it must not be sent: 'job' or 'user'; 'ask' where that depends on whose job a look finds it to be; 'lost' where the
-- hold list was damaged; nil: it may go.
local function hold_of(ref)
  if redis.call('HEXISTS', P .. 'holds:jobs', ref) == 1 then return 'job' end
  local users = redis.call('HLEN', P .. 'holds:users')
  if spoilt.no_holds then return 'lost' end
  if users == 0 then return nil end
  local v = redis.call('HMGET', record(ref), 'owner', 'au')
  if v[1] and not spoilt.fits('owner', v[1]) then v[1] = nil end  -- else what is on hold would go
  local user = v[1] or v[2]
  if user and redis.call('HEXISTS', P .. 'holds:users', user) == 1 then return 'user' end
  return not v[1] and 'ask' or nil
end

local function hold(ref, now, from, lane, due, round, because)
  local k = record(ref)
  redis.call('ZREM', index_of(from, lane), ref)
  redis.call('HDEL', k, 'wait', unpack(LEASE))
  redis.call('HSET', k, 'state', 'held', 'ht', ms(now))
  redis.call('ZADD', P .. 'held', ms(due), ref)
  count_held(k, 1)
  note_event(ref, now, 'deletion.held', { hold = because }, round)
  count('deletion.held ' .. because)
end

local function let_go(ref, now, bulletin)
  local k = record(ref)
  local v = redis.call('HMGET', k, 'lane', 'round', 'calls')
  local due = math.max(now, number(redis.call('ZSCORE', P .. 'held', ref), now))
  redis.call('ZREM', P .. 'held', ref)
  redis.call('ZREM', P .. 'holds:unknown', ref)
  go_on_from_hold(ref, now)
  count_held(k, -1)
  local wait = due > now and (v[3] and 'retry' or 'grace') or nil
  redis.call('HSET', k, 'state', 'pending')
  if wait then redis.call('HSET', k, 'wait', wait) end
  redis.call('ZADD', P .. 'due:' .. v[1], ms(due), ref)
  note_event(ref, now, 'deletion.released', bulletin, v[2] or '1')
  count('deletion.released')
end
