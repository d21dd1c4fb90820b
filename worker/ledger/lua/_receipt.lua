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
-- Always all fields in this order, '' for what there is not: then Redis keeps their names once for many entries.
-- An entry's id is the ledger's time and its number; where that time went back, the last id and one more.
--include _erasure
local RECEIPTED = { deleted = true, gone = true, cancelled = true, discarded = true }

local function request_id(attempt) return attempt and string.match(attempt, '"request_id":"([^"]*)"') end

-- The last DELETE of this round, where the settlement brings none.
local function last_attempt(k, round)
  local v = redis.call('HMGET', k, F.past_history, F.history)  -- a replay that was stopped gave its round back: past
  return string.match('\n' .. (v[1] or '') .. '\n' .. (v[2] or ''), '.*\n(A ' .. round .. ' [^\n]*)')
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
  local n = redis.call('HINCRBY', chain, 'n', 1)
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
  local n = next_number()
  local salt = options.salt  -- Lua's own numbers at random can be foretold
  local added = redis.pcall('XADD', K.receipts, ms(now) .. '-' .. n, 'n', n, 'salt', salt, ...)
  if type(added) == 'string' then return end
  local last = redis.call('XREVRANGE', K.receipts, '+', '-', 'COUNT', 1)[1]
  local at, seq = string.match(last and last[1] or '', '^(%d+)%-(%d+)$')
  added = at and redis.pcall('XADD', K.receipts, at .. '-' .. ms(seq + 1), 'n', n, 'salt', salt, ...)
  if type(added) == 'string' then return end
  redis.call('XADD', K.receipts, ms(now) .. '-' .. n, 'n', n, 'salt', salt, ...)  -- no entry can follow that one: it is put aside
end

-- Who withdrew it, and why, where that could take effect only later.
local function withdrawal(k)
  local line = string.match('\n' .. (redis.call('HGET', k, F.history) or ''), '.*\nE %d+ ([^\n]*"deletion.cancel_requested"[^\n]*)')
  return table_of(line or '') or {}
end

-- s: the settlement (see _settle.lua), or who ended it: by, why; look: the X-Request-Id of a recheck. event: if it is
-- no end
local function receipt(ref, now, state, s, event)
  if not RECEIPTED[state] and not event then return end
  local k = record(ref)
  local v = redis.call('HMGET', k, F.evidence, F.cause, F.lane, F.requested_by, F.reason, F.run, F.policy, F.claims, F.requested_at, F.round, F.calls,
    F.status, F.code, F.asset_id, F.voice_job_id)
  for i = 1, 15 do v[i] = v[i] or '' end
  local round, calls = v[10] == '' and '1' or v[10], v[11] == '' and '0' or v[11]
  s = s or {}
  local whole = redis.call('HMGET', erasure(ref), E.verdict, E.inventory, E.parts)
  local attempt = s.attempt
  local who = s.withdrawn and withdrawal(k) or s
  if not attempt and calls ~= '0' then attempt = last_attempt(k, round) end
  append(now, 'ref', ref,
    's', state, 'e', v[1], 'c', v[2], 'l', v[3], 'by', v[4], 'why', v[5], 'run', v[6], 'pol', v[7], 'also', v[8] ~= '' and others(v[8]) or '',
    'at', v[9], 't', ms(now), 'r', round, 'k', calls, 'st', v[12], 'co', v[13], 'x', request_id(attempt) or '',
    'y', s.look or (state == 'gone' and not event and request_id(s.event)) or '', 'as', v[14], 'vo', v[15],
    'eb', who.by or '', 'ew', who.why or '', 'ev', event or '', 'se', sent(k), 'f', s.finished_at or '',
    'er', whole[1] or '', 'iv', whole[1] and whole[2] or '', 'pa', whole[1] and whole[3] or '', 'v', 2)
end

-- Its erasure was closed: one more receipt, which supersedes the last one.
local function receipt_again(ref, now)
  local v = redis.call('HMGET', record(ref), F.state, F.finished_at)
  if v[1] and v[2] then receipt(ref, now, v[1], { finished_at = v[2] }, 'verified') end
end
