-- What is closed, and why: one table for every scope, so that a refusal closes no more than it is about.
--   closures   hash   '<scope>' or '<scope> <name>' -> JSON. Scopes: account, key (its fingerprint),
--                       project (its id; of another kind than jobs `<id>/<kind>`), family (of calls, but for the jobs')
--     cause    outage | misconfigured | credentials;  why: what was answered
--     since, until (when somebody may try it again), pause: ms; the pause doubles with each try that fails
--     delete   true: only a DELETE that is answered opens it. listed: lists are answered, so that a DELETE may try
--     quiet    true: calls are allowed, but one has to try first; people are not shown a closure
--     target, project, by   the job that closed it, its project, and who asked for that
--   probes     zset   those of them that are not quiet; score: when somebody may try
local closures  -- as far as they were read
each_call(function() closures = {} end)

local function is_number(x) return type(x) == 'number' and x - x == 0 end  -- no text of one, and one can count with it

-- One that cannot be read closes nothing: what it closed is refused again.
local function read_closure(name)
  local stored = redis.call('HGET', K.closures, name)
  local c = table_of(stored)
  if c and type(c.cause) == 'string' and is_number(c.since) and is_number(c['until']) and is_number(c.pause) then return c end
  if not stored then return nil end
  damage('closures ' .. name, 'it cannot be read', stored)
  emit(clock(), 'account.opened', { scope = name })
  redis.call('HDEL', K.closures, name)
  redis.call('ZREM', K.probes, name)
end

local function closure(name)
  if num('closed', 0) == 0 then return nil end
  if closures[name] == nil then
    closures[name] = read_closure(name) or false
  end
  return closures[name] or nil
end

local function write_closure(name, c)
  closures[name] = c
  redis.call('HSET', K.closures, name, cjson.encode(c))
  if c.quiet then redis.call('ZREM', K.probes, name) else redis.call('ZADD', K.probes, ms(c['until']), name) end
  put('closed', redis.call('HLEN', K.closures))
end

-- What webhooks hear: people are shown no quiet one.
local function tell_closed(now, name, c)
  emit(now, 'account.closed', { scope = name, cause = c.cause, retry = ms(now + c.pause) })
end
local function tell_opened(now, name, c) emit(now, 'account.opened', { scope = name, cause = c.cause }) end

-- Close a scope. One that is closed already keeps its beginning and its cause.
local function close(now, name, c)
  local before = closure(name)
  if before and before.quiet then before = nil end
  c.since = before and before.since or tonumber(ms(now))
  c['until'] = tonumber(ms(now + c.pause))
  if before then c.target, c.project, c.by = before.target, before.project, before.by
  elseif not c.quiet then tell_closed(now, name, c) end
  write_closure(name, c)
end

-- What was passed over is looked at again.
local function forget_passed_over()
  for name in pairs(read_gate()) do
    if string.match(name, '^past:') or string.match(name, '^ties:') then drop(name) end
  end
end

local function open(name)
  local c = closure(name)
  if not c then return end
  if not c.quiet then tell_opened(clock(), name, c) end
  closures[name] = false
  redis.call('HDEL', K.closures, name)
  redis.call('ZREM', K.probes, name)
  local left = redis.call('HLEN', K.closures)
  if left > 0 then put('closed', left) else drop('closed') end
  forget_passed_over()
end

-- A try failed: the next one comes after twice the pause, whatever else was answered.
local function close_longer(now, cfg, name, why)
  local c = closure(name)
  c.pause = math.min(c.pause * 2, c.cause == 'outage' and cfg.outage_pause_max or cfg.misconfigured_pause_max)
  if c.quiet then tell_closed(now, name, c) end
  c.why, c.quiet = why or c.why, nil
  if c.cause == 'outage' then c.listed = nil end
  close(now, name, c)
end

-- An executor tries it. No other one does, unless that one never reports a result.
local function being_tried(now, cfg, name)
  local c = closure(name)
  c['until'] = tonumber(ms(now + cfg.lease))
  write_closure(name, c)
end

-- The harmless list was answered. With nothing at hand for a DELETE to try, the next deletion is the one that tries.
local function list_answered(now, name, delete_due)
  local c = closure(name)
  if not c.delete then return open(name) end
  if not delete_due and not c.quiet then tell_opened(now, name, c) end
  c.listed, c.quiet, c['until'] = true, not delete_due or nil, tonumber(ms(now))
  write_closure(name, c)
  forget_passed_over()
end

-- The clock by which they were dated was wrong: none is tried later than after its pause.
local function mend_closures(now)
  if num('closed', 0) == 0 then return end
  for _, name in ipairs(redis.call('HKEYS', K.closures)) do
    local c = closure(name)
    if c and c.since > now then c.since = tonumber(ms(now)) end
    if c and c['until'] > now + c.pause then c['until'] = tonumber(ms(now + c.pause)) end
    if c then write_closure(name, c) end
  end
end
