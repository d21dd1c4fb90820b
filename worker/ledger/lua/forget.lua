-- forget: records whose keeping time is over leave Redis, and so do entries of the audit and runs. Dead letters never
-- do.
--         Discarded ones stay while they can be restored, and forget their app user when they can be no more.
--         What nobody waits for any longer goes as well: answers to operations, lists of replays that never began,
--         answers that an Idempotency-Key kept, hints of what no worker could judge. Nothing of this hangs on an expiry
--         of Redis's: its clock may jump.
--   KEYS[1]  the account's prefix
--   ARGV     caller, operation number, options (JSON: keep (ms), restorable (ms), limit: of all together,
--            kept_for (ms): {plans, and each of places}, places: {ops, idem, texts:wanted} (where to go on looking; "0"
--            at first))
--   returns  {"now", "forgotten": how many records, entries, runs and app users, "places": as above; none where all was
--   seen, "more": true where not all that was archived was}
--include _drains
--include _once
--include _counters
--include _erasure
--include _marks
--include _deliveries
local MANY = 200  -- fields that are looked at together
local DELIVERY_KEPT = 30 * 86400000  -- ms
local MARKS = 2000  -- the same of deletions that were archived
-- The app user stands in the record because the header needs it: for a call that can come no more it has to go.
local function forget_users(now, most)
  local over = '(' .. ms(now - options.restorable)
  local refs = redis.call('ZRANGEBYSCORE', K.discarded_users, '-inf', over, 'LIMIT', 0, most)
  for _, ref in ipairs(refs) do
    redis.call('ZREM', K.discarded_users, ref)
    if redis.call('HGET', record(ref), F.state) == 'discarded' then redis.call('HDEL', record(ref), F.app_user, F.app_user_hash, F.owner_hash) end
  end
  return #refs
end

-- What stands in an index since then: it leaves that, and goes with all keys whose names begin so. Returns how many did.
local function forget_old(index, since, most, ...)
  local old = redis.call('ZRANGEBYSCORE', index, '-inf', ms(since), 'LIMIT', 0, most)
  for _, id in ipairs(old) do
    redis.call('ZREM', index, id)
    for _, name in ipairs({ ... }) do redis.call('DEL', name .. id) end
  end
  return #old
end

-- The fields of a hash whose values say behind a blank when they were written: '<word> <when (ms)> …'.
local function forget_fields(now, name, from)
  local found = redis.call('HSCAN', KEYS[1] .. name, from, 'COUNT', MANY)
  local fields = found[2]
  for i = 1, #fields, 2 do
    local at = tonumber(string.match(fields[i + 1], '^%S+ (%d+)'))
    if not at or math.abs(now - at) > options.kept_for[name] then redis.call('HDEL', KEYS[1] .. name, fields[i]) end
  end
  return found[1] ~= '0' and found[1] or nil
end

-- The same of what was archived: one project after the other, bucket by bucket, a few each time, and then from the
-- beginning. Returns how many went, and whether others are still to be looked at.
local function forget_marks(now)
  local projects, flat, there = {}, redis.call('HGETALL', K.archived), {}
  for i = 1, #flat, 2 do
    local project = string.match(flat[i], '^(%S+) ')
    if project and not there[project] then
      there[project], projects[#projects + 1] = true, project
    end
  end
  table.sort(projects)
  local at, bucket, cursor = string.match(redis.call('HGET', K.archived, 'place') or '', '^(%S+)/(%d+) (%d+)$')
  local i, looked, forgotten = 1, 0, 0
  while at and projects[i] and projects[i] < at do i = i + 1 end
  if not at or projects[i] ~= at then bucket, cursor = 0, '0' end
  while projects[i] and looked < MARKS do
    local found = redis.call('HSCAN', K.archived_marks .. projects[i] .. '/' .. bucket, cursor, 'COUNT', MANY)
    for j = 1, #found[2], 2 do
      local ref = projects[i] .. '/' .. found[2][j]
      local r = archived(ref)
      if r and tonumber(r[F.finished_at]) <= now - options.keep then
        forget_mark(ref, r)
        forgotten = forgotten + 1
      end
    end
    looked, cursor = looked + #found[2] / 2 + 10, found[1]  -- an empty bucket is looked at, too
    if cursor == '0' then bucket = bucket + 1 end
    if bucket == spoilt.buckets then i, bucket = i + 1, 0 end
  end
  if projects[i] then redis.call('HSET', K.archived, 'place', projects[i] .. '/' .. bucket .. ' ' .. cursor)
  else redis.call('HDEL', K.archived, 'place') end
  return forgotten, projects[i] ~= nil
end

-- Deliveries of webhooks that ended. What waited as long, as for an endpoint that nobody has any more, is given up, and so
-- are events that no worker takes any longer.
local function forget_deliveries(now, most)
  local old = redis.call('ZRANGEBYSCORE', K.deliveries_ended, '-inf', ms(now - DELIVERY_KEPT), 'LIMIT', 0, most)
  for _, name in ipairs(old) do drop_delivery(name) end
  local left = most - #old
  for _, name in ipairs(redis.call('HKEYS', K.delivery_counts)) do
    local endpoint = string.match(name, '^(.*) made$')
    if endpoint and left > 0 then
      local waiting = K.deliveries_waiting .. endpoint
      local late = redis.call('ZRANGEBYSCORE', waiting, '-inf', ms(now - DELIVERY_KEPT), 'LIMIT', 0, left)
      left = left - give_up(now, endpoint, late, 'it waited for 30 days')
    end
  end
  if (outbox_until or 0) < now then redis.call('DEL', K.outbox) end
  return most - left
end

return once(function(now)
  local forgotten = 0
  if not clocks_agree() then return { forgotten = 0 } end
  forget_old(K.replays_planned, now - options.kept_for.plans, 10, K.replay, K.replay_refs)
  local places = {}
  for name, from in pairs(options.places) do places[name] = forget_fields(now, name, from) end
  for _, state in ipairs({ 'deleted', 'gone', 'cancelled', 'discarded' }) do
    local keep = state == 'discarded' and math.max(options.keep, options.restorable) or options.keep
    local old = redis.call('ZRANGEBYSCORE', KEYS[1] .. state, '-inf', ms(now - keep), 'LIMIT', 0, options.limit - forgotten)
    for _, ref in ipairs(old) do
      local r = belongs(ref, state)
      local ended = r and number(r[F.finished_at], 0)
      if r and ended > now - keep then  -- the index was altered
        redis.call('ZADD', KEYS[1] .. state, ms(ended), ref)
      elseif r then
        redis.call('ZREM', KEYS[1] .. state, ref)
        redis.call('DEL', record(ref))
        count_part(ref, state)
        forget_erasure(ref)
        forgotten = forgotten + 1
      end
    end
  end
  local marks, more = forget_marks(now)
  forgotten = forgotten + marks
  if forgotten > 0 then count('deletion.forgotten', forgotten) end
  local left = math.max(0, options.limit - forgotten)
  left = left - forget_old(K.audit, now - options.keep, left, K.audit_entry)
  left = left - forget_old(K.rechecks, now - options.keep, left, K.recheck_run)
  left = left - forget_deliveries(now, left)
  left = left - forget_old(K.runs, now - options.keep, left, K.run, K.run_outcomes)
  local answer = { forgotten = options.limit - left + forget_users(now, left) }
  if next(places) then answer.places = places end
  if more then answer.more = true end
  return answer
end)
