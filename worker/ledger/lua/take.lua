-- take: settle this executor's last deletion, if any, and lease the most urgent one that is due and allowed now, if
-- wanted.
--   KEYS[1]  the account's prefix
--   ARGV     executor (the caller), operation number, options (JSON)
--            options: worker, token, key (the credential's fingerprint), want, wakeup, policy_text (see _policy_texts.lua),
--            strays (projects, see _places.lua), related (what is done about what a job leaves behind, where its
--            request does not say), settle (see _settle.lua), gate (see _gate.lua),
--            earlier: settlements of this process's other executors that go before; others: so many more leases they can use
--            tried (what the list that this executor asked for taught: name, kind, project, signal; see _breaker.lua),
--            waited: it may have been answered `wait`
--   returns  {"now", "settled", "earlier": what became of each of these, and one of
--             "go": {ref, round, used, calls, …, "probe"},    leased for gate.lease ms under the token;
--                   ahead_s: until its slot; call_seq: the call's number; owner_lookup: look up the app user first;
--                   policies: one of these must still mean it; related, inventory: first ask what belongs to the job;
--                   parent: the job that left this part behind; shared: another job named it, too; unsent: something is asked first, so `confirm` has to
--                   say that the call may leave
--             "others": more of them, where the next slots are as near
--             "try": {name, kind (none: of jobs), project (of what is due, or was answered last), skew, skew_ago (ms)},  ask for a harmless
--             list, and tell (tried) "wait": ms,                                      ask again then; nothing is
--             reserved "none": true,                                    nothing to do: the executor ends
--             "erasures": true where what jobs left behind is to be looked for,
--             "next": ms since 1970 when somebody should look again, "wakeup": its number}
--include _drains
--include _once
--include _claims
--include _policy_texts
--include _places
--include _history
--include _counters
--within
--include _groups
--include _gate
--include _wakeups
--include _replays
--include _hold
--include _receipt
--include _settle
--include _keep_time
local LEFT_FOR = 500       -- ms: somebody else is called for what this one had to leave, and not at once
local LONGEST_WAIT = 2000  -- ms that an executor waits for a slot; for a later one somebody is called again
local cfg
each_call(function() cfg = options.gate end)
--include _pick

-- What turns count waits in the gate, which they write anyway, and is added up once a second.
local COUNTED_EVERY = 1000  -- ms
function count_later(name, n) put(name, num(name, 0) + n) end
local function add_up(now)
  if math.abs(now - num('counted_at', 0)) < COUNTED_EVERY then return end
  for name in pairs(read_gate()) do
    local what, field = string.match(name, '^([ne]):(.*)')
    if what then
      local n = ms(num(name, 0))
      if what == 'e' then add_to_minute(field, n) else redis.call('HINCRBY', K.counters, field, n) end
      drop(name)
    end
  end
  put('counted_at', now)
end

local function skew_ago(now) return read_gate().skew and math.max(0, now - num('skew_at', 0)) end

-- What is asked before its DELETE may be sent, if anything.
local function asked_first(c)
  local r = c.record
  local related = related_of(r, options.related)
  local inventory = not kind_of(c.ref) and related ~= 'leave' and not r[F.cancel_requested] and not inventory_done(c.ref, r)
  local asked = c.owner_lookup or c.names or number(r[F.lookup_count], 0) > 0 or r[F.cancel_requested] or inventory or r[F.parent]
  return asked and true or nil, related, inventory or nil
end

-- its: the knobs of its kind. What is 0, or no, is left out.
local function lease(now, its, c)
  local ref, r = c.ref, c.record
  local unsent, related, inventory = asked_first(c)
  local function n(name) return r[name] and r[name] ~= '0' and tonumber(r[name]) or nil end
  local ahead, call_seq = reserve(now, its), nil
  if c.tries then being_tried(now, cfg, c.tries) end
  if c.lane == 'user' then put('person_at', now) end
  transition(ref, r, 'running', now + cfg.lease, { [F.lease_token] = options.token, [F.worker] = options.worker,
    [F.taken_at] = ms(now), [F.previous_due] = ms(c.due or now), [F.unsent] = unsent and '1' })
  one_more_runs()
  if not unsent then ahead, call_seq = depart(now, its, ahead) end
  return {
    ref = ref, lane = c.lane, round = n(F.round) or 1, attempts_used = n(F.attempts_used), calls = n(F.calls),
    not_deletable_count = n(F.not_deletable_count), refused_count = n(F.refused_count), lookup_count = n(F.lookup_count),
    empty_lookup_count = n(F.empty_lookup_count), outcome_unknown = r[F.outcome_unknown] == '1' or nil,
    listed = r[F.listed] == '1' or nil, cancel_requested = r[F.cancel_requested] == 'cancel' or nil, app_user = r[F.app_user],
    deadline_left_s = math.floor(r[F.deadline] - now) / 1000, skew_ms = num('skew'), skew_ago_ms = skew_ago(now),
    owner_lookup = c.owner_lookup, policies = c.names, unsent = unsent, related = related, probe = c.tries,
    experiment = r[F.related] and redis.call('EXISTS', K.experiment .. ref) == 1 or nil, inventory = inventory,
    inventory_tries = n(F.inventory_tries), parent = r[F.parent], shared = r[F.parent] and is_shared(ref) or nil,
    for_good = r[F.for_good] == '1' or nil, traceparent = r[F.traceparent], ahead_s = ahead / 1000, call_seq = call_seq,
  }
end

-- The closed project of this kind that may be tried now; the account, the family and the keys are minded in admit().
local function project_to_try(now, cfg)
  if num('closed', 0) == 0 then return nil end
  for _, name in ipairs(redis.call('ZRANGEBYSCORE', K.probes, '-inf', ms(now), 'LIMIT', 0, 10)) do
    local project, kind = string.match(name, '^project ([^/]*)/?(.*)')
    if project and kind == (cfg.kind or '') then return name, project end
  end
end

-- A list to ask for: what it tries, and of which project where the account has none of its own.
local function try(name, project, now, its)
  if name == 'key' then put('trying:' .. options.key, now + cfg.lease) else being_tried(now, cfg, name) end
  for _, each in ipairs(waiting_kinds(cfg)) do
    for _, lane in ipairs(LANES) do
      project = project or redis.call('ZRANGE', K.due .. lane .. (each.queue or ''), 0, 0)[1]
    end
  end
  project = project and project_of(project) or read_gate().home
  return { name = name, kind = its.kind, project_id = project, skew_ms = num('skew'), skew_ago_ms = skew_ago(now) }
end

-- The deletion that goes now, and the closure that it tries; or a list that goes before; or whether to ask at once
-- again.
local function choose(now, cfg, probe)
  local seed = tonumber(string.sub(options.token, 1, 7), 16) or 0
  local name, project
  if not probe then name, project = project_to_try(now, cfg) end
  if name then
    if not closure(name).delete then return { try = try(name, project, now, cfg) } end
    local one = untried(now, cfg, seed, name)
    if one then return one end
    list_answered(now, name, false)
  end
  local well = not probe and not heads_are_bad(now, cfg)
  local one, more, left = not well and untried(now, cfg, seed) or nil
  if not one then one, more, left = head(now, cfg) end
  if one then
    one.tries, one.heads_are_well = probe or one.tries, well
    return one
  end
  if probe and not more then list_answered(now, probe, false) end
  return { more = more, left = left }
end

-- How many of those who wait come for the slots before the first that nobody comes for yet; that is `wait` ms ahead or more.
local function others_before(now, cfg, wait)
  local found, step = -1, spacing_of_all(cfg)
  repeat
    found = found + 1
  until redis.call('ZCOUNT', K.waiting_executors, ms(now - WAITER), ms(now + wait + (found + 0.5) * step)) <= found
  return found
end

-- More leases of jobs, for calls whose slots are as near: what a move costs is then paid once for all of them. Only where
-- everything goes well, and only what is sent as it stands: what is asked first is leased by whoever asks it at once. No
-- person's deletion was due where the first one is none.
local function lease_ahead(now, most)
  local more = {}
  if num('closed', 0) + num('failing', 0) > 0 or read_gate().throttles then return nil end
  while #more < most and not full(now, cfg) and wait_for_slot(now, cfg, early_to_settle(now, cfg)) <= 0 do
    local one = head(now, cfg, { 'bulk' })
    if not one or asked_first(one) then break end
    more[#more + 1] = lease(now, cfg, one)
  end
  return more[1] and more
end

-- Whose turn it is: jobs first, then the other kinds that may go. Returns what admit() says of that kind, its knobs, and
-- what was chosen; where none may go yet, the one with the least to wait.
local function next_turn(now)
  local verdict, detail, its, chosen, none = 'none', nil, cfg, {}, full(now, cfg)
  local i, each = 1, cfg
  while each do  -- the jobs are first: whether other kinds wait is asked only where these do not go
    local may, more = admit(now, each, options.key)
    if may == 'key' or may == 'try' then return may, more, each, {} end
    if may == 'go' and not none then
      local one = choose(now, each, more)
      if one.ref or one.try or one.more then return may, more, each, one end
      chosen = one.left and one or chosen
    elseif may == 'wait' and not none and more < (detail or math.huge)
      and (next_look_of(now, each, options.key) or math.huge) <= now + more then
      verdict, detail, its = may, more, each
    end
    i = i + 1
    each = waiting_kinds(cfg)[i]
  end
  return verdict, detail, its, chosen
end

return once(function(now)
  local executor = ARGV[1]
  if options.waited then redis.call('ZREM', K.waiting_executors, executor) end
  keep_time()
  if options.wakeup then wakeup_arrived(now, options.wakeup) end
  local answer = { earlier = options.earlier and {} }
  local function settled(s)
    if s.called then answer_strays(s.ref, now) end
    return settle(now, s, cfg)
  end
  for i, s in ipairs(options.earlier or {}) do answer.earlier[i] = settled(s) end
  if options.settle then answer.settled = settled(options.settle) end
  if options.tried then
    local t = options.tried
    local its = of_named_kind(cfg, t.kind)
    tried(now, its, t.name, t.project_id, t.signal, (next_due(now, its) or math.huge) <= now)
  end
  local verdict, detail, its, chosen = 'none', nil, cfg, {}
  if options.policy_text then note_use(now, options.policy_text) end
  if options.want then
    if (options.related or 'leave') ~= 'leave' then guess_preparation(cfg) end
    verdict, detail, its, chosen = next_turn(now)
  end
  if (verdict == 'key' or verdict == 'try') and (next_look(now, cfg, options.key) or math.huge) <= now then
    answer.try = try(detail or 'key', nil, now, its)
  end
  if chosen.ref then
    answer.go = lease(now, its, chosen)
    if options.others and its == cfg and chosen.lane == 'bulk' and chosen.heads_are_well then answer.others = lease_ahead(now, options.others) end
    -- When a call outlasts a slot, the next slot needs another executor.
    local takes = (num('call_ms', cfg.interval) + num('prepare_ms', 0)) * 1.3
    if not chosen.tries and (takes > spacing(cfg) or takes > spacing_of_all(cfg)) then answer.wakeup = notify(now, cfg, options.key) end
  elseif chosen.try then
    answer.try = chosen.try
    answer.wakeup = notify(now, cfg, options.key)
  elseif chosen.more then
    answer.wait = 0
  elseif verdict == 'wait' and detail <= LONGEST_WAIT then
    if options.settle then detail = detail + early_to_settle(now, its) - early(its) end  -- it settles nothing when it comes again
    local others = executors_waiting(now)
    local useful = math.max(1, math.ceil(lasts(cfg) / spacing_of_all(cfg)))
    if others < useful and (options.settle or options.waited or not enough_at_work(now, its)) then
      answer.wait = detail + others_before(now, cfg, detail) * spacing_of_all(cfg)
      redis.call('ZADD', K.waiting_executors, ms(now + answer.wait), executor)
    else
      answer.none = true
    end
  elseif not answer.try then
    answer.none = true
    if not options.want then answer.wakeup = notify(now, cfg, options.key) end
  end
  if answer.none then
    local at = next_look(now, cfg, options.key)
    if at and chosen.left then at = math.max(at, now + LEFT_FOR) end
    answer.next = at and tonumber(ms(at))
    answer.erasures = redis.call('ZCOUNT', K.erasures, '-inf', ms(now)) > 0 or nil
  end
  add_up(now)
  write_gate()
  return answer
end)
