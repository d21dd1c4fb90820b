-- Claims: who asks for a deletion, one list in the order in which they asked. What is most urgent in it is the
-- record's: its lane, its deadline and, until somebody called for it, when it is due.
--   by, why, run, pol, book, moment   the first claim's (book: see _policy_texts.lua); one that is alone has the
--   record's `at`,
--                       lane, deadline (`dl`) and time
--   claims              where there are several, JSON of all: {by, why, run, pol, book, moment, at, lane, due, dl}
-- moment: it named the moment when it may begin, and not a while after which.
-- Claims live in every round until the deletion ends, they are withdrawn, or a person gives the dead letter up. While
-- it is held their deadlines stand still: they are as of when it was put on hold (`ht`).
local NAMES = { F.requested_by, F.reason, F.run, F.policy, F.policy_text, F.exact_time }
local MOST_CLAIMS = 50

local function time_of(ref, state, lane, was)
  local at = number(state == 'running' and was or redis.call('ZSCORE', index_of(state, lane), ref))
  return at or number(redis.call('HGET', record(ref), F.deadline))  -- somebody took it out of its index: no sooner than needed
end

local function claims_of(ref)
  local v = redis.call('HMGET', record(ref), F.claims, F.state, F.lane, F.previous_due, F.requested_at, F.deadline, unpack(NAMES))
  if v[1] then return cjson.decode(v[1]) end
  local alone = { lane = v[3], at = tonumber(v[5]), dl = tonumber(v[6]), due = time_of(ref, v[2], v[3], v[4]) }
  for i, name in ipairs(NAMES) do alone[name] = v[6 + i] or nil end
  return { alone }
end

-- Write them down, and what follows. Returns the lane, and when the first of them would be due.
local function write_claims(ref, claims)
  local k, first, lane, due, dl = record(ref), claims[1], 'bulk', math.huge, math.huge
  for _, claim in ipairs(claims) do
    if claim.lane == 'user' then lane = 'user' end
    due, dl = math.min(due, claim.due), math.min(dl, claim.dl)
  end
  local fields = { F.lane, lane, F.requested_at, ms(first.at), F.deadline, ms(dl) }
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
    if claim.by == mine.by and claim.run == mine.run and claim.pol == mine.pol then return claim end
  end
end

-- The same claim twice is one, as urgent as both. Of more than can be kept one without names stands for all: no run
-- withdraws it, and no policy alone decides. A policy comes back by itself.
local function add_claim(claims, mine)
  local same = same_claim(claims, mine)
  if not same and #claims >= MOST_CLAIMS then
    if mine.pol then return end
    mine = { at = mine.at, lane = mine.lane, due = mine.due, moment = mine.moment, dl = mine.dl }
    same = same_claim(claims, mine)
  end
  if not same then claims[#claims + 1] = mine return end
  if mine.due < same.due then same.due, same.moment = mine.due, mine.moment end
  same.dl = math.min(same.dl, mine.dl)
  if mine.book then same.book = math.max(mine.book, tonumber(same.book or 0)) end
  if mine.lane == 'user' then same.lane = 'user' end
end

-- A new round: all of them are due then, and have until that deadline. lane: of all, or nil: each keeps its own.
local function renew(claims, due, dl, lane)
  for _, claim in ipairs(claims) do
    claim.due, claim.moment, claim.dl, claim.lane = due, nil, dl, lane or claim.lane
  end
  return claims
end

-- What waits, is held or is under way now has these claims. sooner: somebody asked for it at that time; without it some
-- were withdrawn, and what they hurried goes back to the time of those who are left, unless it was called for.
local function follow(ref, now, claims, sooner)
  local k = record(ref)
  local v = redis.call('HMGET', k, F.state, F.lane, F.previous_due, F.calls, F.leases_lost)
  local before = time_of(ref, v[1], v[2], v[3])
  local lane, due = write_claims(ref, claims)
  if sooner then due = math.min(before, sooner) else due = (v[4] or v[5]) and before or math.max(before, due) end
  if v[1] == 'running' then return redis.call('HSET', k, F.previous_due, ms(due)) end
  if lane ~= v[2] then redis.call('ZREM', index_of(v[1], v[2]), ref) end
  redis.call('ZADD', index_of(v[1], lane), ms(due), ref)
  if v[1] ~= 'pending' then return end
  if due > before then redis.call('HSET', k, F.waiting_for, 'grace') elseif due < before and due <= now then redis.call('HDEL', k, F.waiting_for) end
end

-- It is held no more: the time that was left goes on.
local function go_on_from_hold(ref, now)
  local k = record(ref)
  local v = redis.call('HMGET', k, F.held_since, F.deadline, F.claims)
  local stood = math.max(0, now - tonumber(v[1] or now))
  redis.call('HDEL', k, F.held_since)
  redis.call('HSET', k, F.deadline, ms(tonumber(v[2]) + stood))
  if not v[3] then return end
  local claims = cjson.decode(v[3])
  for _, claim in ipairs(claims) do claim.dl = tonumber(ms(claim.dl + stood)) end
  redis.call('HSET', k, F.claims, cjson.encode(claims))
end

-- The policies that ask for it, where nobody else does: it is sent only if one of them still means it. And since when
-- the newest text of theirs is the text.
local function policies(ref)
  local v = redis.call('HMGET', record(ref), F.policy, F.claims, F.policy_text)
  if not v[1] then return nil end
  local names, asked = {}, 0
  for i, claim in ipairs(v[2] and cjson.decode(v[2]) or { { pol = v[1], book = v[3] } }) do
    if not claim.pol then return nil end
    names[i], asked = claim.pol, math.max(asked, tonumber(claim.book or 0))
  end
  return names, asked
end

-- A policy's run counts how its deletions stand that are not under way; a new round is counted anew.
local function count_outcome(k, state, by)
  local run = redis.call('HGET', k, F.run)
  if not run or redis.call('EXISTS', K.run .. run) == 0 then return end
  local ends = K.run_outcomes .. run
  redis.call('HINCRBY', ends, state, by)
end
