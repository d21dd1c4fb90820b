-- Claims: who asks for a deletion, one list in the order in which they asked. What is most urgent in it is the
-- record's: its lane, its deadline and, until somebody called for it, when it is due.
-- A claim has the names of the record's fields (see schema/fields.py), and `due`, when it would be due:
--   requested_by, reason, run, policy, policy_text (see _policy_texts.lua), exact_time (it named the moment when it may
--   begin, and not a while after which), related (what it wants done about what the job leaves behind), requested_at,
--   lane, deadline
-- The first claim's stand in the record. Where there are several, the field `claims` has all of them as JSON.
-- Claims live in every round until the deletion ends, they are withdrawn, or a person gives the dead letter up. While
-- it is held their deadlines stand still: they are as of when it was put on hold (held_since).
local NAMES = { F.requested_by, F.reason, F.run, F.policy, F.policy_text, F.exact_time, F.related }
local MOST_CLAIMS = 50

local function time_of(ref, r)
  local at = r[F.state] == 'running' and r[F.previous_due] or redis.call('ZSCORE', index_of(r[F.state], r[F.lane], ref), ref)
  return number(at) or number(r[F.deadline])  -- somebody took it out of its index: no sooner than needed
end

local function claims_of(ref, r)
  if r[F.claims] then return cjson.decode(r[F.claims]) end
  local alone = { lane = r[F.lane], at = tonumber(r[F.requested_at]), [F.deadline] = tonumber(r[F.deadline]), due = time_of(ref, r) }
  for _, name in ipairs(NAMES) do alone[name] = r[name] end
  return { alone }
end

-- Write them down, and what follows. Returns the lane, and when the first of them would be due.
local function write_claims(ref, claims)
  local k, first, lane, due, deadline = record(ref), claims[1], 'bulk', math.huge, math.huge
  for _, claim in ipairs(claims) do
    if claim.lane == 'user' then lane = 'user' end
    due, deadline = math.min(due, claim.due), math.min(deadline, claim[F.deadline])
  end
  local fields = { F.lane, lane, F.requested_at, ms(first.at), F.deadline, ms(deadline) }
  for _, name in ipairs(NAMES) do
    if first[name] then fields[#fields + 1], fields[#fields + 2] = name, first[name] end
  end
  if #claims > 1 then fields[#fields + 1], fields[#fields + 2] = F.claims, cjson.encode(claims) end
  redis.call('HDEL', k, F.claims, unpack(NAMES))
  redis.call('HSET', k, unpack(fields))
  return lane, due
end

local function same_claim(claims, mine)
  for _, claim in ipairs(claims) do
    if claim.by == mine.by and claim.run == mine.run and claim[F.policy] == mine[F.policy] then return claim end
  end
end

-- What is done about what the job leaves behind: the widest that a person or an application asked for; a policy never
-- widens that. default: of a claim that does not say.
local WIDTH = { leave = 1, verify = 2, delete = 3 }
local function wider(a, b) return (WIDTH[b] or 0) > (WIDTH[a] or 0) and b or a end
local function related_of(r, default)
  if not r[F.claims] then return wider(nil, r[F.related] or default or 'leave') end
  local by_people, by_policies
  for _, claim in ipairs(cjson.decode(r[F.claims])) do
    local mine = claim[F.related] or default or 'leave'
    if claim[F.policy] then by_policies = wider(by_policies, mine) else by_people = wider(by_people, mine) end
  end
  return by_people or by_policies
end

-- The same claim twice is one, as urgent as both. Of more than can be kept one without names stands for all: no run
-- withdraws it, and no policy alone decides. A policy asks again by itself.
local function add_claim(claims, mine)
  local same = same_claim(claims, mine)
  if not same and #claims >= MOST_CLAIMS then
    if mine[F.policy] then return end
    mine = { at = mine.at, lane = mine.lane, due = mine.due, [F.exact_time] = mine[F.exact_time], [F.deadline] = mine[F.deadline] }
    same = same_claim(claims, mine)
  end
  if not same then claims[#claims + 1] = mine return end
  if mine.due < same.due then same.due, same[F.exact_time] = mine.due, mine[F.exact_time] end
  same[F.deadline] = math.min(same[F.deadline], mine[F.deadline])
  if mine[F.policy_text] then same[F.policy_text] = math.max(mine[F.policy_text], tonumber(same[F.policy_text] or 0)) end
  if mine.lane == 'user' then same.lane = 'user' end
  if mine[F.related] then same[F.related] = wider(same[F.related], mine[F.related]) end
end

-- A new round: all of them are due then, and have until that deadline. lane: of all, or nil: each keeps its own.
local function renew(claims, due, deadline, lane)
  for _, claim in ipairs(claims) do
    claim.due, claim[F.exact_time], claim[F.deadline], claim.lane = due, nil, deadline, lane or claim.lane
  end
  return claims
end

-- What waits, is held or is under way now has these claims. sooner: somebody asked for it at that time. Without it some
-- were withdrawn: what was due early for their sake alone is due when the others want it, unless it was called for.
local function follow(ref, r, now, claims, sooner)
  local k, state, before = record(ref), r[F.state], time_of(ref, r)
  local lane, due = write_claims(ref, claims)
  if sooner then due = math.min(before, sooner) else due = (r[F.calls] or r[F.leases_lost]) and before or math.max(before, due) end
  if state == 'running' then return redis.call('HSET', k, F.previous_due, ms(due)) end
  if lane ~= r[F.lane] then redis.call('ZREM', index_of(state, r[F.lane], ref), ref) end
  redis.call('ZADD', index_of(state, lane, ref), ms(due), ref)
  if state ~= 'pending' then return end
  if due > before then redis.call('HSET', k, F.waiting_for, 'grace') elseif due < before and due <= now then redis.call('HDEL', k, F.waiting_for) end
end

-- It is held no more: the time that was left goes on.
local function go_on_from_hold(ref, r, now)
  local k, stood = record(ref), math.max(0, now - tonumber(r[F.held_since] or now))
  redis.call('HDEL', k, F.held_since)
  redis.call('HSET', k, F.deadline, ms(tonumber(r[F.deadline]) + stood))
  if not r[F.claims] then return end
  local claims = cjson.decode(r[F.claims])
  for _, claim in ipairs(claims) do claim[F.deadline] = tonumber(ms(claim[F.deadline] + stood)) end
  redis.call('HSET', k, F.claims, cjson.encode(claims))
end

-- The policies that ask for it, where nobody else does: it is sent only if one of them still means it. And since when
-- the newest text of theirs is the text.
local function policies(r)
  if not r[F.policy] then return nil end
  local names, newest = {}, 0
  for i, claim in ipairs(r[F.claims] and cjson.decode(r[F.claims]) or { r }) do
    if not claim[F.policy] then return nil end
    names[i], newest = claim[F.policy], math.max(newest, number(claim[F.policy_text], 0))
  end
  return names, newest
end

-- A policy's run counts how its deletions stand that are not under way; a new round is counted anew.
local function count_outcome(r, state, by)
  local run = r[F.run]
  if not run or redis.call('EXISTS', K.run .. run) == 0 then return end
  redis.call('HINCRBY', K.run_outcomes .. run, state, by)
end
