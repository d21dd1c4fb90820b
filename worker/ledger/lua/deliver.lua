-- deliver: write down here what another account had of some jobs of a project that is being moved. Again is as once.
--   KEYS[1]  the account's prefix
--   ARGV     caller, operation number, options (JSON: project, from (the account), packed (see pack.lua), one a ref,
--            act (see _audit.lua)),
--            then up to 500 refs
--   returns  {"now", "done": false if the project is not being moved: nothing was written then}
--   The replay of a letter stays behind; a dead one gets its place in the groups and its number here. What was due and
--   had to wait for the move (see _places.lua) is due at once.
--include _once
--include _history
--include _counters
--include _groups
--include _places
--include _erasure
--include _marks
--include _audit

local function waits_for_its_turn(ref, c)
  return c.state == 'pending' and (redis.call('HGET', record(ref), F.waiting_for) or 'turn') == 'turn'
end

local function write(ref, c, now)
  local k = record(ref)
  redis.call('HSET', k, unpack(c.fields))
  if waits_for_its_turn(ref, c) and tonumber(c.score) > now then c.score = ms(now) end
  redis.call('HDEL', k, F.replay, F.before_replay, F.group, F.death_number)
  redis.call('ZADD', index_of(c.state, c.lane, ref), c.score, ref)
  count_part(ref, nil, c.state)
  if c.user_kept then redis.call('ZADD', K.discarded_users, c.user_kept, ref) end
  if c.state == 'dead' then
    joins_group(ref, c.score)
    redis.call('HSET', k, F.death_number, redis.call('INCR', K.deaths))
  end
  local r = sound(ref)
  if r then note_event(ref, r, now, 'deletion.moved', { from = options.from }) end
end

-- One that was archived: its receipt stays where it is.
local function write_moved_mark(ref, text)
  if not string.find(text, '@', 1, true) then text = text .. ' @' .. options.from end
  local left = spoilt.read_mark(ref, text)
  if not left then return end
  write_mark(ref, left[F.state], text)
  count_part(ref, nil, left[F.state])
  if left.archived.verdict then redis.call('HINCRBY', K.verdicts, left.archived.verdict, 1) end
end

-- What the job left behind, and what is known of it. Whoever looked there says nothing here.
local function write_erasure(ref, c)
  forget_erasure(ref)
  if not c.erasure then return end
  redis.call('HSET', erasure(ref), unpack(c.erasure))
  redis.call('HINCRBY', erasure(ref), E.leases, 1)
  local verdict = redis.call('HGET', erasure(ref), E.verdict)
  if verdict then redis.call('HINCRBY', K.verdicts, verdict, 1) end
  if c.look then redis.call('ZADD', K.erasures, c.look, ref) end
  if c.left then redis.call('ZADD', K.left_behind, c.left, ref) end
  for _, named in ipairs(c.named) do
    local id, job = named[1], named[2]
    name_part(id, ref)
    if job == '*' and not sharers(id) then redis.call('HSET', K.asset_jobs, id, '* 1') end  -- the others stayed, or come later
  end
end

local function deliver(ref, c, now)
  local r = sound(ref)
  if r and r.archived then forget_mark(ref, r)
  elseif r then
    leaves_group(ref, r)
    redis.call('ZREM', index_of(r[F.state], r[F.lane], ref), ref)
    redis.call('DEL', record(ref))
    count_part(ref, r[F.state])
    forget_other_mark(ref)
  end
  if #c.fields > 0 or c.mark then
    if c.mark then write_moved_mark(ref, c.mark) else write(ref, c, now) end
    if not r then count('deletion.moved in') end
  end
  write_erasure(ref, c)
  if c.hold then redis.call('HSET', K.held_jobs, ref, c.hold) end
  if c.hold_ends then redis.call('ZADD', K.hold_ends, c.hold_ends, 'j ' .. ref) end
  if c.unknown then redis.call('ZADD', K.owner_unknown, c.unknown, ref) end
  return not r
end

return once(function(now)
  local done = redis.call('HGET', K.projects, options.project) == 'moving'
  local moved = 0
  for i = 4, done and #ARGV or 0 do
    if deliver(ARGV[i], options.packed[i - 3], now) then moved = moved + 1 end
  end
  if moved > 0 then audit(now, { moved = moved }) end
  return { done = done }
end)
