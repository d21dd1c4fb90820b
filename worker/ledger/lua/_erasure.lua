-- An erasure: what a training job leaves behind, beside its deletion and after it. See schema/erasure.py.
-- confirm.lua writes what belonged to the job right before the DELETE; settle opens the erasure when the job has gone;
-- workers look (lease_erasures.lua, record_look.lua) until it is closed. The end of a part's own deletion opens it again.
--include _experiment
local function erasure(ref) return K.erasure .. ref end

-- What one job, or one app user, is called by has to be known for as long as somebody looks: for the calls, and for holds.
local USERS = { { E.app_user, F.app_user }, { E.app_user_hash, F.app_user_hash }, { E.owner_hash, F.owner_hash } }
local function keep_user(ref, r)
  for _, each in ipairs(USERS) do
    if r[each[2]] then redis.call('HSETNX', erasure(ref), each[1], r[each[2]]) end
  end
end

local function forget_user(ref) redis.call('HDEL', erasure(ref), E.app_user, E.app_user_hash, E.owner_hash) end

local function set_verdict(ref, verdict)
  local was = redis.call('HGET', erasure(ref), E.verdict)
  if was == verdict then return end
  if was then redis.call('HINCRBY', K.verdicts, was, -1) end
  if verdict then
    redis.call('HINCRBY', K.verdicts, verdict, 1)
    redis.call('HSET', erasure(ref), E.verdict, verdict)
  end
end

-- Looks that fall due one after the other are due together, up to 5 s late: one list tells of a hundred assets.
local TOGETHER = 5000  -- ms; and no more than a twelfth of the way
local function together(due, step) return ms(math.ceil(due / step) * step) end
local function look_again(ref, now, due)
  local step = math.min(TOGETHER, math.floor((due - now) / 12))
  redis.call('ZADD', K.erasures, step > 0 and together(due, step) or ms(due), ref)
end

-- It begins, or begins anew: somebody looks `after` ms from now. Whoever looks at this moment saw what was before.
local function open_erasure(ref, now, after)
  redis.call('HDEL', erasure(ref), E.closed_at)
  redis.call('HINCRBY', erasure(ref), E.leases, 1)
  redis.call('HSET', erasure(ref), E.opened_at, ms(now), E.looks, 0)
  set_verdict(ref, 'pending')
  redis.call('ZREM', K.left_behind, ref)
  look_again(ref, now, now + after)
end

-- A deletion has ended. s: the settlement; its `erasure`: related, first_look_ms (none: nothing is looked for).
local function erasure_follows(ref, r, to, now, s)
  local parent, over = r[F.parent], to == 'deleted' or to == 'gone'
  if parent then
    if redis.call('EXISTS', erasure(parent)) == 1 then
      keep_user(parent, r)
      open_erasure(parent, now, over and s and s.erasure and s.erasure.first_look_ms or 0)
    end
  elseif over and s and s.erasure then
    redis.call('HSET', erasure(ref), E.related, s.erasure.related)
    redis.call('HSETNX', erasure(ref), E.inventory, 'none')
    keep_user(ref, r)
    open_erasure(ref, now, r[F.related] and first_look(ref) or s.erasure.first_look_ms)
  end
end

-- Each round has an inventory of its own: what is asked for again may be there again, with other parts.
local function inventory_done(ref, r)
  local v = redis.call('HMGET', erasure(ref), E.inventory, E.round)
  return v[1] == 'done' and (v[2] or '1') == (r[F.round] or '1')
end

-- The parts of an erasure: their refs, where this account can have a deletion of them, and their ids.
local function parts_of(ref)
  local refs, ids = {}, {}
  for _, part in ipairs(table_of(redis.call('HGET', erasure(ref), E.parts)) or {}) do
    if type(part) == 'table' and type(part.id) == 'string' and type(part.part) == 'string' then
      refs[#refs + 1] = project_of(ref) .. '/' .. part.part .. ':' .. part.id
      ids[#refs] = part.id
    end
  end
  return refs, ids
end

-- Which job named a part: its ref, or '* <how many>' of those that are remembered. What several named is nobody's own, also
-- when all but one are forgotten.
local function sharers(id)
  local named = redis.call('HGET', K.asset_jobs, id)
  if not named or string.sub(named, 1, 1) ~= '*' then return nil, named end
  return number(string.match(named, '^%* (%d+)$'), 2), named
end

local function is_shared(part) return sharers(string.match(part, ':(.*)') or '') ~= nil end

local function name_part(id, ref)
  local many, named = sharers(id)
  if named == ref then return end
  redis.call('HSET', K.asset_jobs, id, named and string.format('* %d', (many or 1) + 1) or ref)
end

local function unname_part(id, ref)
  local many, named = sharers(id)
  if named == ref or many == 1 then redis.call('HDEL', K.asset_jobs, id)
  elseif many then redis.call('HSET', K.asset_jobs, id, string.format('* %d', many - 1)) end
end

-- Has the job that left a part behind ended so that nothing makes that part again? One that nobody knows any more did.
local function job_is_over(job)
  local state = redis.call('HGET', record(job), F.state) or (archived(job) or {})[F.state]
  return not state or state == 'deleted' or state == 'gone'
end

local function is_open(ref)
  local v = redis.call('HMGET', erasure(ref), E.opened_at, E.closed_at)
  return v[1] and not v[2]
end

-- It is not closed, and what was left behind is to be deleted.
local function is_to_delete(ref)
  local v = redis.call('HMGET', erasure(ref), E.related, E.closed_at)
  return v[1] == 'delete' and not v[2]
end

-- What an earlier inventory found stays beside what this one did. Of a part that both found this one says how it stands
-- now; that it was deleted before counts no more: it is there again. What nobody could look at now stays as it was.
local function beside_earlier(parts, earlier)
  local known, again = {}, {}
  for _, part in ipairs(earlier) do
    if type(part) == 'table' then known[tostring(part.part) .. ':' .. tostring(part.id)] = part end
  end
  for i, part in ipairs(parts) do
    local before = known[part.part .. ':' .. part.id]
    if before then again[before] = true end
    if before and not part.shown_at then parts[i] = before
    elseif before then
      for _, name in ipairs({ 'calls', 'wanted_at', 'ended', 'removed_by' }) do part[name] = before[name] end
      part.again = before.ended
    end
  end
  for _, part in ipairs(earlier) do
    if not again[part] then parts[#parts + 1] = part end
  end
  return parts
end

local function keep_parts(ref, parts, ids)
  local known, _, before = {}, parts_of(ref)
  local earlier = table_of(redis.call('HGET', erasure(ref), E.parts)) or {}
  for _, id in ipairs(before) do known[id] = true end
  if #earlier > 0 then parts = cjson.encode(beside_earlier(cjson.decode(parts), earlier)) end
  redis.call('HSET', erasure(ref), E.parts, parts)
  for _, id in ipairs(ids) do
    if not known[id] then name_part(id, ref) end
  end
end

-- What an inventory says of what belongs to a job, in this round of its deletion. absent: the job is not there, so that
-- there is no more than an earlier one found.
local function keep_inventory(ref, known, round)
  local name = erasure(ref)
  redis.call('HSET', name, E.related, known.related)
  redis.call(known.absent and 'HSETNX' or 'HSET', name, E.inventory, known.state)
  if round then
    redis.call('HSET', name, E.round, round)
    redis.call('HINCRBY', name, E.leases, 1)  -- whoever looks at this moment knows the earlier parts only
  end
  keep_parts(ref, known.parts, known.ids)
end

-- What is known of it goes; its verdict counts for as long as the deletion is known.
local function drop_erasure(ref)
  local _, ids = parts_of(ref)
  for _, id in ipairs(ids) do unname_part(id, ref) end
  redis.call('ZREM', K.erasures, ref)
  redis.call('ZREM', K.left_behind, ref)
  redis.call('DEL', erasure(ref))
end

local function forget_erasure(ref)
  set_verdict(ref, nil)
  drop_erasure(ref)
end
