--include _sent
-- Receipts: each end of a deletion appends one entry to the stream `receipts`, in the script that ends it. So does what
-- takes an end back, or a hold off, and what a recheck found. A later one of the same job supersedes it; nothing is ever
-- rewritten. No app user, and no hash of one, is in here.
--   n        counts up by one, so that an entry that was dropped leaves a gap
--   ref      which job, as its record is named
--   s e c l  state, evidence, cause, lane                by why run pol also   who asked (see _claims.lua), and JSON of
--   who did too at t     when it was requested, and settled (ms)     r k   round, and DELETE calls in it
--   st co x  status, code, X-Request-Id of the last DELETE;  y   X-Request-Id of the look that found it gone
--   as vo    asset and voice training job, where they were seen;  eb ew   who ended, restored or released it, and why
--   ev       what it is, if it is no end: restored, released, hold_ended, came_back, gone_again, verified
--   se       whether a DELETE was ever sent (see _sent.lua)
--   salt     128 random bits: the texts of who and why enter the hash as commitments (see receipts/commitments.py)
--   f        when it was finished, of a later receipt: one that was written when its erasure was closed
--   er iv pa   its erasure's verdict, whether there was an inventory, and JSON of the parts (see schema/erasure.py)
--   v        the schema's version that first wrote such receipts; without one it is 1. A version that adds fields writes
--            them behind the others under their full names, as text: the version before it carries them along unread
--   +        what most receipts do not have of all that, as JSON: e c by run pol also co y as vo eb ew ev f er iv
-- Always all fields in this order, '' for what there is not: then Redis keeps their names once for many entries. `t` is ''
-- where the id says it. An entry's id is the ledger's time and its number; where that time went back, the last id and one more.
--include _erasure
-- A user who may not add receipts ends nothing: refused in the middle, a move would keep what it wrote so far.
each_call(function()
  local may
  if raw.acl_check_cmd then may = raw.acl_check_cmd('XADD', K.receipts, '*', 'n', '1')
  else  -- before Redis 7: this adds nothing, for there is no such stream
    local answer = raw.pcall('XADD', K.receipts .. ':none', 'NOMKSTREAM', '*', 'n', '1')
    local err = type(answer) == 'table' and answer.err or ''
    may = not (string.find(err, "can't run this command", 1, true) or string.find(err, 'ACL failure', 1, true))
  end
  if not may then error('ACL failure in script: no permissions to run the xadd command', 0) end
end)

local RECEIPTED = { deleted = true, gone = true, cancelled = true, discarded = true }

local function request_id(attempt)
  local _, before = string.find(attempt or '', '"request_id":"', 1, true)
  return before and string.match(attempt, '^[^"]*', before + 1)
end

-- The last DELETE of this round, where the settlement brings none.
local function last_attempt(r, round)
  local lines = '\n' .. (r[F.past_history] or '') .. '\n' .. (r[F.history] or '')  -- a replay that was stopped gave its round back: past
  return string.match(lines, '.*\n(A ' .. round .. ' [^\n]*)')
end

local function others(claims)
  local also = {}
  for i, claim in ipairs(cjson.decode(claims)) do
    also[i - 1] = { by = claim.by, why = claim.why, run = claim.run, pol = claim[F.policy] }
  end
  also[0] = nil
  return cjson.encode(also)
end

-- The next number. Where the chain's was lost, it goes on from the last entry's.
local function next_number()
  local chain = K.receipts_chain
  local n = redis.call('HINCRBY', chain, 'n', '1')
  if n > 1 then return n end
  local last = redis.call('XREVRANGE', K.receipts, '+', '-', 'COUNT', 1)[1]
  for i = 1, last and #last[2] or 0, 2 do
    if last[2][i] == 'n' then n = number(last[2][i + 1], 0) + 1 end
  end
  n = math.max(n, number(redis.call('ZREVRANGE', K.receipts_redacted, 0, 0, 'WITHSCORES')[2], 0) + 1)
  n = math.max(n, number(redis.call('HGET', chain, 'archived_n'), 0) + 1, number(redis.call('HGET', chain, 'sealed_n'), 0) + 1)
  redis.call('HSET', chain, 'n', n)
  return n
end

local function append(now, ...)
  local t, n = ms(now), ms(next_number())
  local salt = options.salt  -- Lua's own numbers at random can be foretold
  local added = redis.pcall('XADD', K.receipts, t .. '-' .. n, 'n', n, 'salt', salt, 't', '', ...)
  if type(added) == 'string' then return end
  local last = redis.call('XREVRANGE', K.receipts, '+', '-', 'COUNT', 1)[1]
  local redacted = table_of(redis.call('ZREVRANGE', K.receipts_redacted, 0, 0)[1] or '')  -- it is no more in the stream
  for _, id in ipairs({ last and last[1] or '', redacted and redacted[1] or '' }) do
    local at, seq = string.match(id, '^(%d+)%-(%d+)$')
    added = at and redis.pcall('XADD', K.receipts, at .. '-' .. ms(seq + 1), 'n', n, 'salt', salt, 't', t, ...)
    if type(added) == 'string' then return end
  end
  redis.call('XADD', K.receipts, t .. '-' .. n, 'n', n, 'salt', salt, 't', '', ...)  -- no entry can follow that one: it is put aside
end

-- Who withdrew it, and why, where that could take effect only later.
local function withdrawal(r)
  local line = string.match('\n' .. (r[F.history] or ''), '.*\nE %d+ ([^\n]*"deletion.cancel_requested"[^\n]*)')
  return table_of(line or '') or {}
end

-- r: the record as it is now; s: the settlement (see _settle.lua), or who ended it: by, why; look: the X-Request-Id of a recheck; alone: it has no erasure. event: if it is
-- no end
local function receipt(ref, now, state, r, s, event)
  if not RECEIPTED[state] and not event then return end
  local function of(name) return r[name] or '' end
  local round, calls = r[F.round] or '1', r[F.calls] or '0'
  s = s or {}
  local whole = s.alone and {} or redis.call('HMGET', erasure(ref), E.verdict, E.inventory, E.parts)
  local attempt = s.attempt
  local who = s.withdrawn and withdrawal(r) or s
  if not attempt and calls ~= '0' then attempt = last_attempt(r, round) end
  local rest = { e = r[F.evidence], c = r[F.cause], by = r[F.requested_by], run = r[F.run], pol = r[F.policy],
    also = r[F.claims] and others(r[F.claims]), co = r[F.code], as = r[F.asset_id], vo = r[F.voice_job_id],
    y = s.look or (state == 'gone' and not event and request_id(s.event)) or nil,
    eb = who.by, ew = who.why, ev = event, f = s.finished_at, er = whole[1] or nil, iv = whole[1] and whole[2] or nil }
  for name, value in pairs(rest) do rest[name] = value or nil end  -- what a transition took away is false
  append(now, 'ref', ref, 's', state, 'l', of(F.lane), 'why', of(F.reason), 'at', of(F.requested_at), 'r', round, 'k', calls,
    'st', of(F.status), 'x', request_id(attempt) or '', 'se', sent(r), 'pa', whole[1] and whole[3] or '',
    '+', next(rest) and cjson.encode(rest) or '', 'v', '2')
end

-- Its erasure was closed: one more receipt, which supersedes the last one.
local function receipt_again(ref, now)
  local r = sound(ref)
  if r and r[F.finished_at] then receipt(ref, now, r[F.state], r, { finished_at = r[F.finished_at] }, 'verified') end
end
