-- archive_records: records of deletions that have ended, and whose receipts are archived, leave Redis; a mark stays (see
-- _archived.lua). What is still under way stays whole: an erasure that is open or left something, a job that came back,
-- an experiment. So does what became something else since that receipt.
--   KEYS[1]  the account's prefix
--   ARGV     caller, operation number, options (JSON: was (up to which receipt this was done before), upto, ends: of each
--            receipt its number, its state, when it finished (ms), and the verdict on what was left behind, or false),
--            then up to 500 refs, one a receipt, in their order
--   returns  {"now", "left": how many did; none where another worker was faster, or a receipt is not archived}
--include _drains
--include _once
--include _erasure
--include _sent
--include _marks
local OVER = { deleted = true, gone = true, cancelled = true }
local ERASED = { whole = true, whole_by_acknowledgement = true }

-- Its erasure is closed, nothing is left, and the receipt says what it came to.
local function nothing_is_left(ref, verdict)
  for _, index in ipairs({ K.erasures, K.left_behind, K.experiments, K.came_back }) do
    if redis.call('ZSCORE', index, ref) then return false end
  end
  local v = redis.call('HMGET', erasure(ref), E.verdict, E.closed_at)
  if not v[1] then return not verdict end
  return v[2] and v[1] == verdict and (ERASED[verdict] or (verdict == 'unverifiable' and #parts_of(ref) == 0))
end

local LETTERS = { whole = 'w', whole_by_acknowledgement = 'a', unverifiable = 'v' }

-- The mark of a record. n: its receipt's number. One that was brought back and has not ended
-- anew since keeps the receipt of that end, which says more than those of a recheck.
local function mark_of(r, n, verdict)
  local at = ms(r[F.finished_at])
  local letters = string.sub(r[F.state], 1, 1) .. (r[F.listed] == '1' and 'l' or '-') .. (r[F.outcome_unknown] == '1' and 'u' or '-')
    .. string.sub(sent(r), 1, 1) .. (LETTERS[verdict] or '-')
  local before = string.match('\n' .. (r[F.history] or ''), '\nE ' .. at .. ' ({"event":"deletion.archived"[^\n]*)')
  local first = table_of(before or '') or { receipt = n }
  local words = { letters, at, ms(math.max(0, at - r[F.requested_at])), ms(first.receipt), r[F.round] or '1' }
  if r[F.parent] then words[#words + 1] = string.match(r[F.parent], '[^/]*$') end
  if first.account then words[#words + 1] = '@' .. first.account end
  return table.concat(words, ' ')
end

local function leave(ref, finish, now)
  local n, state, finished_at, verdict = finish[1], finish[2], finish[3], finish[4]
  local r = sound(ref)
  if not OVER[state] or not r or r.archived or r[F.state] ~= state or tonumber(r[F.finished_at]) ~= finished_at then return 0 end
  if number(r[F.call_ends_at], 0) > now or not nothing_is_left(ref, verdict) then return 0 end
  local text = mark_of(r, n, verdict)
  redis.call('ZREM', index_of(state, r[F.lane], ref), ref)
  redis.call('DEL', record(ref))
  drop_erasure(ref)
  write_mark(ref, state, text)
  return 1
end

return once(function(now)
  local v = redis.call('HMGET', K.receipts_chain, 'archived_n', 'records_n')
  if number(v[2], 0) ~= options.was or number(v[1], 0) < options.upto then return {} end
  local left = 0
  for i = 4, #ARGV do left = left + leave(ARGV[i], options.ends[i - 3], now) end
  redis.call('HSET', K.receipts_chain, 'records_n', options.upto)
  if left > 0 then redis.call('HINCRBY', K.counters, 'deletion.archived', left) end
  return { left = left }
end)
