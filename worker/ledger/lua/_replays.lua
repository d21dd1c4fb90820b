-- Replays: a frozen list of dead letters that begin new rounds batch by batch, and counts of what becomes of them.
--   replay:<id>       hash   state (planning | running | stopping | done | stopped | cancelled), stage (canary | ten |
--                            hundred | rest), why, by, what (the choice in words), groups (JSON), mark, lane, deadline,
--                            at, fed_at, ended, end_why, end_by; total, cursor (how many of the list were handled),
--                            recalled; fed, and of these open, held; deleted, gone, dead, cancelled, back (dead as
--                            before); of the rest moved (not dead any more), newer (died after the mark), on_hold;
--                            ok, failed, aside: the first word on each that was fed;
--                            others (JSON: terms of its shares in other accounts; whoever drives it starts them first)
--   replay:<id>:refs  list   the letters meant, until the replay has ended
--   replays           zset   ids; score: when it started
--   replays:planned   zset   ids of lists that are written down and did not begin; score: when
--   replays:feeding   zset   ids of those that a worker has to drive; score: when it started
-- A letter that began a new round has `replay` and, until its first result, `before_replay`: what it was before.
local function replay_key(id) return K.replay .. id end

-- The first word on a letter in its new round: ok, failed (an attempt was used, or it died) or aside (it has to wait
-- for reasons of its own). Closed gates, throttling and lost workers say nothing: waiting is not failing.
local function first_word(k, R, word)
  if redis.call('HDEL', k, F.before_replay) == 1 then redis.call('HINCRBY', R, word, 1) end
end

local function replay_ended(R, id, state, now)
  redis.call('HSET', R, 'state', state, 'ended', ms(now))
  redis.call('ZREM', K.replays_feeding, id)
  redis.call('DEL', K.replay_refs .. id)
  local v = redis.call('HMGET', R, 'total', 'deleted', 'gone', 'dead', 'cancelled')
  emit(now, 'replay.finished', { replay = id, state = state, total = v[1] or nil, deleted = v[2] or nil, gone = v[3] or nil,
    dead = v[4] or nil, cancelled = v[5] or nil })
end

-- All its letters began and have ended: so has the replay.
local function end_if_over(R, id, now)
  local v = redis.call('HMGET', R, 'state', 'open', 'cursor', 'total')
  if v[1] ~= 'running' or v[2] ~= '0' or v[3] ~= v[4] then return end
  replay_ended(R, id, 'done', now)
end

local FIRST = { deleted = 'ok', gone = 'ok', dead = 'failed', cancelled = 'aside' }

-- A letter of a replay has ended; or, by a late 200, ends otherwise than it had.
local function count_replay_end(k, id, from, to, now)
  local R = replay_key(id)
  if not FIRST[to] or from == 'discarded' or redis.call('EXISTS', R) == 0 then return end
  first_word(k, R, FIRST[to])
  if to ~= 'dead' then redis.call('HDEL', k, F.replay) end
  redis.call('HINCRBY', R, to, 1)
  if from == 'held' then redis.call('HINCRBY', R, 'held', -1) end
  if OPEN[from] then
    redis.call('HINCRBY', R, 'open', -1)
    end_if_over(R, id, now)
  else
    redis.call('HINCRBY', R, from, -1)
  end
end

-- A letter of a replay is put on hold, or let go: by = 1 or -1.
local function count_held(r, by)
  local id = r[F.replay]
  if id and redis.call('EXISTS', replay_key(id)) == 1 then redis.call('HINCRBY', replay_key(id), 'held', by) end
end
