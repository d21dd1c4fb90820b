-- Which deletion goes next: the user lane first, the oldest due first. What is due in a closed project is passed over.
-- options: strays, policy_text (see take.lua). r: the record of a deletion; false: it was damaged, and left the lane.
local head, untried, heads_are_bad, answer_strays
do

local HEADS = 20          -- of closed projects; a take passes no more of them over
local PUT_AWAY = 100      -- on hold, past their deadline, elsewhere; a take puts no more of them away
local STEPPED_OVER = 500  -- left to others, or to clocks that agree
local SAMPLE = 16         -- places of a lane that are looked at where the heads fail
local ELSEWHERE = 60000   -- ms: what is put off waits so long and delays nobody else
local ANSWER_MS, SERVED_MS = 5000, 300000  -- ms: how long an answer may take, and how long it holds

-- While settings change from worker to worker, one does not know a project that another one serves. It says so in the
-- gate (stray:<project>: since when), and whoever serves the project answers (served:<project>). What is due is left to
-- them; without an answer it is put off, so that it delays nobody.
local function put_off(ref, lane, now, why)
  local project = project_of(ref)
  if why == 'stray' then
    if now - num('stray:' .. project, 0) > SERVED_MS then put('stray:' .. project, now) end
    if now - num('stray:' .. project, 0) < ANSWER_MS or now - num('served:' .. project, 0) < SERVED_MS then return false end
  end
  redis.call('ZADD', index_of('pending', lane, ref), ms(now + ELSEWHERE), ref)
  return true
end

-- It was called for: this worker serves its project.
function answer_strays(ref, now)
  local project = project_of(ref)
  if num('stray:' .. project, 0) > 0 and now - num('served:' .. project, 0) > SERVED_MS / 10 then put('served:' .. project, now) end
end

-- What a deletion is asked before it may be sent. trying: the closed project that is to be tried.
-- Returns 'go' and how: tries (the closure that it tries), owner_lookup (its app user has to be looked up), names (only these
-- policies ask for it). Or what stands against it: 'damaged' (it left the lane), 'elsewhere', 'stray', a kind of hold ('lost':
-- the hold list was damaged), 'over' (its deadline), 'not_yet' (while clocks disagree nothing is over because of time,
-- and what was in its grace stays there), 'closed', 'too_soon' (the job that left it behind is not over), or 'others' and names, text_at (only policies ask for it, and this
-- worker may not judge them).
local function stands(ref, now, r, trying)
  if not r then return 'damaged' end
  local place = lies_elsewhere(ref, options.strays)
  if place then return place end
  local on_hold = r[F.cancel_requested] ~= 'cancel' and hold_of(ref, r) or nil
  if on_hold and on_hold ~= 'ask' then return on_hold end
  local over = tonumber(r[F.deadline]) <= now
  if (over or r[F.waiting_for] == 'grace') and not clocks_agree() then return 'not_yet' end
  if over then return 'over' end
  if r[F.parent] and r[F.cancel_requested] ~= 'cancel' and not job_is_over(r[F.parent]) then return 'too_soon' end
  local scope = num('closed', 0) > 0 and project_scope(ref)
  local c = scope and closure(scope)
  if c and scope ~= trying and not (c.quiet and c['until'] <= now) then return 'closed' end
  local names, text_at = policies(r)
  if names and r[F.cancel_requested] ~= 'cancel' and not may_judge(now, options.policy_text, text_at) then return 'others', names, text_at end
  return 'go', { tries = c and scope or nil, owner_lookup = on_hold == 'ask' or nil, names = names }
end

local function chosen(ref, lane, r, how, due)
  if how.names then redis.call('HDEL', K.policy_texts_wanted, unpack(how.names)) end
  how.ref, how.lane, how.record, how.due = ref, lane, r, number(due)
  return how
end

-- Put it away, so that the next one stands at its place; false: it stays there, for somebody else.
local function put_away(ref, lane, now, r, why, names, text_at)
  if why == 'damaged' then return true
  elseif why == 'not_yet' then return false
  elseif why == 'others' then return not leave_to_others(ref, r, now, names, text_at)
  elseif why == 'elsewhere' or why == 'stray' or why == 'too_soon' then return put_off(ref, lane, now, why)
  elseif why == 'over' then
    note_event(ref, r, now, 'deletion.died', { cause = 'deadline' })
    finish(ref, r, now, 'dead', 'deadline')
  else hold(ref, r, now, now, why) end
  return true
end

-- The most urgent one; or nil, whether there may be more behind those of closed projects, and whether some were left.
function head(now, cfg, lanes)
  local away, left, more = 0, 0, false
  for _, lane in ipairs(lanes or LANES) do
    local queue = lane .. (cfg.queue or '')
    local rank, passed, score = first_open(queue, now), 0, nil
    while away < PUT_AWAY and left < STEPPED_OVER do
      local due = redis.call('ZRANGE', K.due .. queue, ms(rank), ms(rank), 'WITHSCORES')
      if not due[1] or tonumber(due[2]) > now then break end
      local r = belongs(due[1], 'pending', lane)
      local how, more_of_it, text_at = stands(due[1], now, r)
      if how == 'go' then
        if score then passed_over(queue, now, score, rank) end
        return chosen(due[1], lane, r, more_of_it, due[2])
      elseif how == 'lost' then return nil
      elseif how == 'closed' then
        rank, passed = rank + 1, passed + 1
        if left == 0 then score = due[2] end
        if passed == HEADS then more = true break end
      elseif put_away(due[1], lane, now, r, how, more_of_it, text_at) then
        away = away + 1
      else
        if score then passed_over(queue, now, score, rank) score = nil end
        rank, left = rank + 1, left + 1
      end
    end
    if score then passed_over(queue, now, score, rank) end
  end
  return nil, more, left > 0
end

-- Where the heads fail or are not answered, or where one has to try for all: a deletion that never failed, behind the
-- last one that was answered or anywhere in the lane; where all failed, the one that did so least often.
-- only: of this project, which is closed.
function untried(now, cfg, seed, only)
  local least, found = math.huge, nil
  for _, lane in ipairs(LANES) do
    local queue = lane .. (cfg.queue or '')
    local key = K.due .. queue
    local from, to = only and 0 or first_open(queue, now), redis.call('ZCOUNT', key, '-inf', ms(now))
    local ranks = {}
    if read_gate()[own(cfg, 'well')] and now - num(own(cfg, 'well_at'), 0) < long(cfg) then
      local behind = math.max(from, redis.call('ZCOUNT', key, '-inf', '(' .. ms(num(own(cfg, 'well'), now))))
      for i = 0, 3 do ranks[#ranks + 1] = behind + i end
    end
    local step = math.max(1, math.floor((to - from) / SAMPLE))
    for i = 0, SAMPLE do ranks[#ranks + 1] = from + (seed + i * step) % math.max(1, to - from) end
    for _, rank in ipairs(ranks) do
      local due = rank < to and redis.call('ZRANGE', key, ms(rank), ms(rank), 'WITHSCORES') or {}
      local ref = due[1]
      if ref and (not only or project_scope(ref) == only) then
        local r = belongs(ref, 'pending', lane)
        local how, more_of_it = stands(ref, now, r, only)
        local calls = tonumber(r and r[F.calls] or '0')
        if how == 'go' and r[F.cancel_requested] ~= 'cancel' and calls < least then
          least, found = calls, { ref, lane, r, more_of_it, due[2] }
          if least == 0 then return chosen(unpack(found)) end
        end
      end
    end
  end
  return found and chosen(unpack(found))
end

-- Do the heads fail, or go unanswered for longer than calls take here?
function heads_are_bad(now, cfg)
  if num(own(cfg, 'failing'), 0) >= 2 then return true end
  return running() >= 2 and running() - young(now, cfg) >= 2
end

end
