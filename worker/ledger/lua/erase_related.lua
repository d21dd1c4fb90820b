-- erase_related: a person wants what deleted jobs left behind deleted; or kept, because it comes out of the recycle bin.
-- Somebody looks soon, and whoever looks at this moment asks for nothing any more.
--   KEYS[1]  the account's prefix
--   ARGV     caller, operation number, options (JSON: related (delete or verify), evidence (of parts that are meant),
--            looks (how many count as made, at least), after (ms until the next look), app_user, user_hash (its HMAC),
--            why, by, act (see _audit.lua)), then up to 500 refs of jobs
--   returns  {"now", "results": one a ref: "erasing" | "restoring" | "nothing_left" (no part has such evidence and is proven
--            to be the job's own) | "on_hold" | "not_over" (the job itself is, or may be, there) | "unknown"}
--include _drains
--include _once
--include _places
--include _hold
--include _audit

local function is_meant(ref, part)
  if type(part) ~= 'table' or part.own ~= true then return false end
  if type(part.id) ~= 'string' or sharers(part.id) then return false end
  for _, evidence in ipairs(options.evidence) do
    if part.evidence == evidence then return true end
  end
  return false
end

-- Marks the parts that are meant: those that were deleted, withdrawn or restored before are asked for once more.
local function mark(ref, deleting)
  local parts, meant = table_of(redis.call('HGET', erasure(ref), E.parts)) or {}, false
  for _, part in ipairs(parts) do
    if is_meant(ref, part) then
      meant, part.again = true, deleting and true or nil
    end
  end
  if meant then redis.call('HSET', erasure(ref), E.parts, cjson.encode(parts)) end
  return meant
end

local function erase_related(ref, r, now)
  local name, deleting = erasure(ref), options.related == 'delete'
  if not redis.call('HGET', name, E.opened_at) then return r and r.archived and r.archived.verdict and 'nothing_left' or 'unknown' end
  if not job_is_over(ref) then return 'not_over' end
  if deleting and (job_on_hold(ref) or redis.call('HEXISTS', K.held_users, options.user_hash or '') == 1) then return 'on_hold' end
  if not mark(ref, deleting) then return 'nothing_left' end
  local looks = number(redis.call('HGET', name, E.looks), 0)
  open_erasure(ref, now, options.after)
  if options.app_user then redis.call('HSETNX', name, E.app_user, options.app_user) end
  if options.user_hash then redis.call('HSETNX', name, E.app_user_hash, options.user_hash) end
  redis.call('HSET', name, E.related, options.related, E.looks, deleting and options.looks or math.max(looks, options.looks))
  return deleting and 'erasing' or 'restoring'
end

return once(function(now) return { results = act_on_each(erase_related, now) } end, not_here)
