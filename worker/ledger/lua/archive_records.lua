-- archive_records: records of deletions that have ended, and whose receipts are archived, leave Redis; a mark stays (see
-- _archived.lua). What is still under way stays whole: an erasure that is open or left something, a job that came back,
-- an experiment. So does what became something else since that receipt.
--   KEYS[1]  the account's prefix
--   ARGV     caller, operation number, options (JSON: was (up to which receipt this was done before), upto, ends: of each
--            receipt its number, its state, when it finished (ms), and the verdict on what was left behind, or false),
--            then up to 500 refs, one a receipt, in their order
--   returns  {"now", "left": how many did; none where another worker was faster, or a receipt is not archived}
--include _clock
--include _account
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

local function leave(ref, finish)
  local n, state, finished_at, verdict = finish[1], finish[2], finish[3], finish[4]
  local r = sound(ref)
  if not OVER[state] or not r or r.archived or r[F.state] ~= state or tonumber(r[F.finished_at]) ~= finished_at then return 0 end
  if not nothing_is_left(ref, verdict) then return 0 end
  local text = mark_of(ref, r, n, verdict, sent(r))
  if not text then return 0 end
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
  for i = 4, #ARGV do left = left + leave(ARGV[i], options.ends[i - 3]) end
  redis.call('HSET', K.receipts_chain, 'records_n', options.upto)
  if left > 0 then redis.call('HINCRBY', K.counters, 'deletion.archived', left) end
  return { left = left }
end)
