-- What calls taught us: whether the account, a project or only the job itself is in trouble.
--   failing     zset   refs that failed since a DELETE was answered; score: when
--   forbidden   zset   refs whose DELETE was forbidden although lists are answered; score: when. Until their project's
--   is not
-- Failures of outage_after different jobs are an outage; of fewer, or with an answer between them, the jobs' own
-- trouble. So it is with what is forbidden: of one project, or of the account where several projects meet it and
-- nothing was answered.

-- call: ref, taken (when it was leased), due (when it was due then), by (who asked for it); for one that was not
-- leased: ref only

local record_signal, tried, learnt_clock
do

-- By which job of which project, and who asked for that.
local function shown_by(c, call)
  c.project, c.target, c.by = project_of(call.ref), string.match(call.ref, '/(.+)'), call.by or nil
  return c
end

local function closed_by(call, cause, signal, pause)
  return shown_by({ cause = cause, why = signal.why, pause = pause }, call)
end

-- A DELETE of the project was allowed: those that were not are their jobs' own trouble.
local function allowed(project)
  for _, ref in ipairs(redis.call('ZRANGE', K.forbidden, 0, -1)) do
    if project_scope(ref) == project then redis.call('ZREM', K.forbidden, ref) end
  end
end

local function sign_of_life(now, cfg, signal, call)
  local g, project = read_gate(), project_of(call.ref)
  if num(own(cfg, 'failing'), 0) > 0 then
    redis.call('DEL', own(cfg, K.failing))
    drop(own(cfg, 'failing'))
  end
  if g.forbidden then
    allowed(project_scope(call.ref))
    if redis.call('EXISTS', K.forbidden) == 0 then drop('forbidden') end
  end
  -- A call that left before it was closed proves nothing about the rights of now.
  for _, name in ipairs(num('closed', 0) > 0 and { 'account', project_scope(call.ref), cfg.scope } or {}) do
    local c = closure(name)
    if c and (c.cause == 'outage' or call.taken >= c.since) then open(name) end
  end
  if signal.key and g['good:' .. signal.key] and now - num('good:' .. signal.key, 0) > 60000 then remember_key(now, signal.key) end
  put(own(cfg, 'well'), call.due)
  if g.home ~= project then put('home', project) end
  put(own(cfg, 'well_at'), ms(now))
  recover(now, cfg)
end

local function failure(now, cfg, signal, call)
  local failing, scope = own(cfg, K.failing), cfg.scope or 'account'
  redis.call('ZADD', failing, ms(now), call.ref)
  put(own(cfg, 'failing'), redis.call('ZCARD', failing))
  if tonumber(call.due) >= num(own(cfg, 'well'), math.huge) then drop(own(cfg, 'well')) end
  if signal.probe and closure(signal.probe) then
    close_longer(now, cfg, signal.probe, signal.why)
  elseif not closure(scope) and num(own(cfg, 'failing'), 0) >= cfg.outage_after then
    local c = closed_by(call, 'outage', signal, cfg.outage_pause)
    c.delete = true
    close(now, scope, c)
  end
end

-- The DELETE was forbidden, the list is not. Returns whether that is more than this job's trouble, and uses no attempt.
local function forbidden(now, cfg, signal, call)
  local project, all = project_scope(call.ref), cfg.scope or 'account'
  if signal.probe and closure(signal.probe) then close_longer(now, cfg, signal.probe, signal.why) return true end
  local wider = closure(all)
  if closure(project) or (wider and wider.cause == 'misconfigured') then return true end
  redis.call('ZADD', K.forbidden, ms(now), call.ref)
  put('forbidden', '1')
  local here, everywhere, several = 0, 0, false
  local at = redis.call('ZRANGE', K.forbidden, 0, -1, 'WITHSCORES')
  for i = 1, #at, 2 do
    local mine = project_scope(at[i]) == project
    if mine then here = here + 1 end
    if kind_of(at[i]) == kind_of(call.ref) and tonumber(at[i + 1]) > num(own(cfg, 'well_at'), 0) then
      everywhere = everywhere + 1
      several = several or not mine
    end
  end
  local name
  if several and everywhere >= cfg.outage_after then name = all
  elseif here >= cfg.outage_after then name = project
  else return false end
  local c = closed_by(call, 'misconfigured', signal, cfg.misconfigured_pause)
  c.delete, c.listed = true, true
  close(now, name, c)
  return true
end

-- The project is refused, with its lists.
local function misconfigured(now, cfg, signal, call)
  local name = project_scope(call.ref)
  local c = closure(name)
  if c and signal.probe == name then close_longer(now, cfg, name, signal.why)
  elseif not c or c.quiet then close(now, name, closed_by(call, 'misconfigured', signal, cfg.misconfigured_pause)) end
end

-- The executor that was refused wrote that to the key's own record and to every account first; here stays only what it
-- could not write there.
local function refused(now, cfg, signal, call)
  if num('bad:' .. signal.key, 0) <= now then
    refuse_key(now, signal.key, now + cfg.key_pause, closed_by(call, nil, signal))
    return
  end
  local name = 'key ' .. signal.key
  local c = closure(name)
  if c and not c.by and call.by then
    write_closure(name, shown_by(c, call))
  end
end

function learnt_clock(now, signal)
  put('skew', signal.skew)  -- however small: it was the worker's own clock that was wrong, and Redis's is to be signed with
  put('skew_at', now)
end

-- What one call taught us. signal: kind (ok: a DELETE was answered | listed: a list was | fail | forbidden | misconfigured
-- | throttled | credentials | clock | none), key, ms, probe (the closure that it tried), retry_after (ms), skew (ms),
-- why, quota. Returns true where the failure is not the job's own, and uses no attempt.
function record_signal(now, all, signal, call)
  local cfg = of_kind(all, call.ref)
  if signal.quota then note_quota(now, signal.quota) end
  local c = signal.probe and closure(signal.probe)
  if c then
    c['until'] = tonumber(ms(now))
    write_closure(signal.probe, c)
  end
  if signal.ms and (signal.kind == 'ok' or signal.kind == 'throttled') then
    local before = num('call_ms', signal.ms)
    put('call_ms', before + (signal.ms - before) * 0.1)
  end
  if signal.kind == 'ok' then sign_of_life(now, cfg, signal, call)
  elseif signal.kind == 'fail' then failure(now, cfg, signal, call)
  elseif signal.kind == 'forbidden' then return forbidden(now, cfg, signal, call)
  elseif signal.kind == 'misconfigured' then misconfigured(now, cfg, signal, call)
  elseif signal.kind == 'throttled' then throttle(now, cfg, signal)
  elseif signal.kind == 'credentials' then refused(now, cfg, signal, call)
  elseif signal.kind == 'clock' then learnt_clock(now, signal) end
end

-- The answer to a harmless list that tried what is closed, or a key that is unknown here.
-- name: the closure, or 'key'; project: whose list. cfg: of the kind that was listed. delete_due:
-- whether a deletion is due that could try next.
local BREATH = 1000  -- ms, after a 429
function tried(now, cfg, name, project, signal, delete_due)
  local call, kind = { ref = project .. '/' .. (cfg.kind and cfg.kind .. ':' or '') }, signal.kind
  if signal.quota then note_quota(now, signal.quota) end
  if name == 'key' then
    drop('trying:' .. signal.key)
    if kind == 'listed' or kind == 'misconfigured' then accept_key(now, signal.key) end
    if closure('account') then name = 'account' end  -- it tried that as well
  end
  local c = closure(name)
  if kind == 'credentials' then refused(now, cfg, signal, call)
  elseif kind == 'clock' then learnt_clock(now, signal)
  elseif kind == 'throttled' then
    throttle(now, cfg, signal)
    put(own(cfg, 'throttled_until'), math.max(num(own(cfg, 'throttled_until'), 0), now + BREATH))
  elseif kind == 'misconfigured' and not c then misconfigured(now, cfg, signal, call)
  elseif kind == 'listed' and c then list_answered(now, name, delete_due)
  elseif kind ~= 'listed' and kind ~= 'none' and c then close_longer(now, cfg, name, signal.why)
  elseif kind == 'fail' then close(now, 'account', { cause = 'outage', why = signal.why, pause = cfg.outage_pause }) end
  if c and (kind == 'credentials' or kind == 'clock' or kind == 'throttled' or kind == 'none') then
    c['until'] = tonumber(ms(now))
    write_closure(name, c)
  end
end

end
