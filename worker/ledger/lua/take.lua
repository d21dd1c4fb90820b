-- take: settle this hand's last deletion, if any, and lease the most urgent one that is due and allowed now, if wanted.
--   KEYS[1]  the account's prefix
--   ARGV     hand (the caller), operation number, options (JSON)
--            options: worker, token, key (the credential's fingerprint), want, bell, book (see _books.lua),
--            strays (projects, see _places.lua), settle (see _settle.lua), gate (see _gate.lua)
--   returns  {"now", "settled", and one of
--             "go": {ref, round, used, calls, …, "probe"},    leased for gate.lease ms under the token;
--                   ahead: ms until its slot; nth: the call's number; who: look up the app user before the call; policies: one of these must still mean it;
--                   unsent: something is asked first, so `confirm` has to say that the call may leave
--             "wait": ms,                                      ask again then; nothing is reserved
--             "none": true,                                    nothing to do: the hand ends
--             "next": ms since 1970 when somebody should look again, "ring": bell}
--   It begins with ZREM, so that it still runs when Redis is full: what drains must go on.
--include _clock
--include _account
--include _once
--include _claims
--include _books
--include _places
--include _history
--include _counters
--include _groups
--include _gate
--include _ring
--include _replays
--include _hold
--include _receipt
--include _settle
--include _keep_time
local LEFT_FOR = 500       -- ms: somebody else is called for what this one had to leave, and not at once
local LONGEST_WAIT = 2000  -- ms that a hand waits for a slot; for a later one somebody is called again
local options = cjson.decode(ARGV[3])
local cfg = options.gate

-- The first one that is due, but for so many at the head of a lane that are left to other workers. While clocks disagree
-- nothing is over because of time: what was in its grace stays there, what has passed its deadline waits, and both are
-- stepped over (at most so many of a lane).
local STEPPED_OVER = 500
local function due_head(now, left)
  for _, lane in ipairs({ 'user', 'bulk' }) do
    local most = clocks_agree() and 1 or STEPPED_OVER
    for _, ref in ipairs(redis.call('ZRANGEBYSCORE', P .. 'due:' .. lane, '-inf', ms(now), 'LIMIT', left[lane], most)) do
      if most == 1 then return ref, lane end
      local v = redis.call('HMGET', record(ref), 'wait', 'dl')
      if v[1] ~= 'grace' and tonumber(v[2]) > now then return ref, lane end
    end
  end
end

-- The most urgent deletion that may still be sent, and whether its app user has to be looked up first. What is on hold
-- or has passed its deadline is put away on the way (at most 100 a call). A withdrawn one is only looked at: no hold, and no
-- policy has to mean it.
local left = { user = 0, bulk = 0 }  -- due ones that are left to other workers
local function pick(now)
  for _ = 1, 100 do
    local ref, lane = due_head(now, left)
    if not ref then return nil end
    local v = redis.call('HMGET', record(ref), 'dl', 'round', 'wish')
    local on_hold = v[3] ~= 'cancel' and hold_of(ref) or nil
    if lies_elsewhere(ref, options.strays) then
      redis.call('ZADD', P .. 'due:' .. lane, ms(now + ELSEWHERE), ref)
    elseif on_hold and on_hold ~= 'ask' then
      hold(ref, now, 'pending', lane, now, v[2] or '1', on_hold)
    elseif tonumber(v[1]) > now then
      local names, asked = policies(ref)
      if not names or v[3] == 'cancel' or may_judge(now, options.book, asked) then
        if names then redis.call('HDEL', P .. 'books:wanted', unpack(names)) end
        return ref, lane, on_hold == 'ask', names
      end
      if leave_to_others(ref, lane, now, names, asked) then left[lane] = left[lane] + 1 end
    else
      note_event(ref, now, 'deletion.died', { cause = 'deadline' }, v[2] or '1')
      finish(ref, now, 'pending', lane, 'dead', { cause = 'deadline' })
    end
  end
end

local function lease(ref, lane, now, probe, who, names)
  local k = record(ref)
  local v = redis.call('HMGET', k, 'round', 'used', 'calls', 'lost', 'later', 'refused', 'look', 'unk', 'seen', 'wish',
    'user', 'dl', 'unseen')
  local due = redis.call('ZSCORE', P .. 'due:' .. lane, ref)
  redis.call('ZREM', P .. 'due:' .. lane, ref)
  redis.call('HDEL', k, 'busy')
  redis.call('ZADD', P .. 'running', ms(now + cfg.lease), ref)
  redis.call('HSET', k, 'state', 'running', 'tok', options.token, 'wrk', options.worker, 'tk', ms(now), 'was', due)
  local function n(i) return tonumber(v[i] or '0') end
  local unsent = probe or who or names or n(7) > 0 or v[10]
  if unsent then redis.call('HSET', k, 'unsent', '1') end
  return {
    ref = ref, lane = lane, round = tonumber(v[1] or '1'), used = n(2), calls = n(3), lost = n(4), later = n(5),
    refused = n(6), look = n(7), unknown = v[8] == '1', seen = v[9] == '1', wish = v[10] or nil, user = v[11] or nil,
    left = tonumber(ms(tonumber(v[12]) - now)), probe = probe, skew = tonumber(read_gate().skew or nil),
    who = who or nil, policies = names, unsent = unsent and true or nil, unseen = n(13),
  }
end

return once(ARGV[1], ARGV[2], function()
  local hand, now = ARGV[1], clock()
  redis.call('ZREM', P .. 'waiting', hand)
  keep_time()
  if options.bell then heard(now, options.bell) end
  local answer = { now = tonumber(ms(now)) }
  if options.settle then answer.settled = settle(now, options.settle, cfg) end
  local verdict, detail = 'none', nil
  if options.want then verdict, detail = ask(now, cfg, options.key) end
  if (verdict == 'go' or verdict == 'wait') and full(now, cfg) then verdict = 'none' end
  if options.book then note_seen(now, options.book) end
  local ref, lane, who, names
  if verdict == 'go' then ref, lane, who, names = pick(now) end
  if ref then
    local ahead, nth = pass(now, cfg, detail)
    answer.go = lease(ref, lane, now, detail, who, names)
    answer.go.ahead, answer.go.nth = ahead, nth
    -- When a call outlasts a slot, the next slot needs another hand.
    if not detail and num('call_ms', cfg.interval) * 1.3 > spacing(cfg) then answer.ring = ring(now, cfg) end
  elseif verdict == 'wait' and detail <= LONGEST_WAIT and (next_due(now) or math.huge) <= now + detail then
    local others = hands_waiting(now)
    local useful = math.max(1, math.ceil(num('call_ms', 0) / spacing(cfg)))
    if others < useful then
      answer.wait = detail + others * spacing(cfg)
      redis.call('ZADD', P .. 'waiting', ms(now + answer.wait), hand)
    else
      answer.none = true
    end
  else
    answer.none = true
    if not options.want then answer.ring = ring(now, cfg) end
  end
  if answer.none then
    local closed, till = closed_until(now, cfg)
    if closed then answer.next = till and tonumber(ms(till)) else
      local due = next_due(now)
      if due and left.user + left.bulk > 0 then due = math.max(due, now + LEFT_FOR) end
      answer.next = due and tonumber(ms(due))
    end
  end
  write_gate()
  return answer
end)
