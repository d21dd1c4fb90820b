--include _claims
-- What waits and was dated by a clock that had erred is dated anew, as if it had been written now.
--   A claim that was made in the future says so itself (see _claims.lua); what waits for its next attempt says so by
--   its last one. A grace that began earlier cannot be dated so: it stays, however late it ends; and so does an exact
--   time.
local DATED = DATED_INDEXES

-- When the last line of a record's history was written (ms).
local function last_noted(log)
  local line = log and string.match(log, '[^\n]*$') or ''
  return tonumber(string.match(line, '^E (%d+)') or string.match(line, '^A %S+ %S+ (%d+)') or nil)
end

local function whole(at) return tonumber(ms(at)) end

-- Claims that were made in the future count from now. Whether there were any.
local function redate_claims(claims, now)
  local redated = false
  for _, claim in ipairs(claims) do
    if claim.at > now + MINUTE then
      local by = claim.at - now
      if not claim[F.exact_time] then claim.due = whole(math.max(now, claim.due - by)) end
      claim.at, claim[F.deadline], redated = whole(now), whole(claim[F.deadline] - by), true
    end
  end
  return redated
end

local function redate(index, ref, due, now)
  local k, r = record(ref), sound(ref)
  if not r then return false end
  if r[F.held_since] and tonumber(r[F.held_since]) > now then redis.call('HSET', k, F.held_since, ms(now)) end
  local claims, was, called = claims_of(ref, r), due, r[F.calls] or r[F.leases_lost]
  if redate_claims(claims, now) then
    local _, soonest = write_claims(ref, claims)
    if not called then due = soonest end
  end
  local noted = called and r[F.waiting_for] ~= 'grace' and last_noted(r[F.history])
  if noted and noted > now + MINUTE and due >= noted then due = math.max(now, due - (noted - now)) end
  if due == was then return false end
  if due <= now and r[F.waiting_for] == 'grace' then redis.call('HDEL', k, F.waiting_for) end
  redis.call('ZADD', KEYS[1] .. index, ms(due), ref)
  return true
end

-- found: refs and when they are due, in turn. Returns how many were dated anew.
local function redate_some(index, now, found)
  local redated = 0
  for i = 1, #found, 2 do
    if redate(index, found[i], tonumber(found[i + 1]), now) then redated = redated + 1 end
  end
  return redated
end
