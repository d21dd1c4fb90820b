-- An erasure: what a training job leaves behind, beside its deletion and after it. See schema/erasure.py.
-- confirm.lua writes what belonged to the job right before the DELETE; settle opens the erasure when the job has gone;
-- workers look (lease_erasures.lua, record_look.lua) until it is closed. The end of a part's own deletion opens it again.
--include _experiment
local function erasure(ref) return K.erasure .. ref end

local function set_verdict(ref, verdict)
  local was = redis.call('HGET', erasure(ref), E.verdict)
  if was == verdict then return end
  if was then redis.call('HINCRBY', K.verdicts, was, -1) end
  if verdict then
    redis.call('HINCRBY', K.verdicts, verdict, 1)
    redis.call('HSET', erasure(ref), E.verdict, verdict)
  end
end

-- It begins, or begins anew: somebody looks `after` ms from now.
local function open_erasure(ref, now, after)
  redis.call('HDEL', erasure(ref), E.closed_at)
  redis.call('HSET', erasure(ref), E.opened_at, ms(now), E.looks, 0)
  set_verdict(ref, 'pending')
  redis.call('ZREM', K.left_behind, ref)
  redis.call('ZADD', K.erasures, ms(now + after), ref)
end

-- A deletion has ended. s: the settlement; its `erasure`: related, first_look_ms (none: nothing is looked for).
local function erasure_follows(ref, r, to, now, s)
  local parent, over = r[F.parent], to == 'deleted' or to == 'gone'
  if parent then
    if redis.call('EXISTS', erasure(parent)) == 1 then
      open_erasure(parent, now, over and s and s.erasure and s.erasure.first_look_ms or 0)
    end
  elseif over and s and s.erasure then
    redis.call('HSET', erasure(ref), E.related, s.erasure.related)
    redis.call('HSETNX', erasure(ref), E.inventory, 'none')
    open_erasure(ref, now, r[F.related] and first_look(ref) or s.erasure.first_look_ms)
  end
end

local function inventory_done(ref) return redis.call('HGET', erasure(ref), E.inventory) == 'done' end

-- The parts of an erasure that have a deletion of their own: their refs.
local function parts_of(ref)
  local refs = {}
  for _, part in ipairs(table_of(redis.call('HGET', erasure(ref), E.parts)) or {}) do
    if type(part) == 'table' and type(part.id) == 'string' and part.wanted_at then
      refs[#refs + 1] = string.match(ref, '^[^/]*') .. '/' .. tostring(part.part) .. ':' .. part.id
    end
  end
  return refs
end

-- A part that several jobs named is nobody's own.
local function name_parts(ref, ids)
  for _, id in ipairs(ids) do
    if redis.call('HSETNX', K.asset_jobs, id, ref) == 0 and redis.call('HGET', K.asset_jobs, id) ~= ref then
      redis.call('HSET', K.asset_jobs, id, '*')
    end
  end
end

local function forget_erasure(ref)
  set_verdict(ref, nil)
  for _, part in ipairs(table_of(redis.call('HGET', erasure(ref), E.parts)) or {}) do
    if type(part) == 'table' and type(part.id) == 'string' and redis.call('HGET', K.asset_jobs, part.id) == ref then
      redis.call('HDEL', K.asset_jobs, part.id)
    end
  end
  redis.call('ZREM', K.erasures, ref)
  redis.call('ZREM', K.left_behind, ref)
  redis.call('DEL', erasure(ref))
end
