-- seal: the chain of receipts has come so far. Whoever begins where another one has been meanwhile changes nothing.
--   KEYS[1]  the account's prefix
--   ARGV     caller, operation number, options (JSON: was (the id that was sealed last), n, id, head)
--   returns  {"now", "sealed": bool}
--
--   receipts:chain  n                                       the last number given (see _receipt.lua)
--                   sealed_n, sealed_id, sealed_head        up to here the chain comes to this head
--                   archived_n, archived_id, archived_head  up to here they have left Redis (see archive.lua)
--                   records_n                               up to here records of what ended left, too (archive_records.lua)
--                   redacted  how often texts of receipts were redacted (see redact.lua)
--                   turned    when clocks agreed last that it is earlier than was thought: of then are receipts whose
--                             dates lie in the future
--                   relocated  the archived head after which a directory may begin without the files before (see
--                             relocate.lua)
--                   shifts, day  of a segment that began behind lost receipts (see begin_segment.lua)
--   receipts:seals  zset, score n, '<id> <head>': some of the places that were sealed, to say later where a break is
--include _drains
--include _once
local SPARSE = 100

-- Where it goes on. What was lost of that is sealed anew, and has to fit the seals (see check.lua).
local function sealed_until(chain)
  for _, id in ipairs({ redis.call('HGET', chain, 'sealed_id') or '', redis.call('HGET', chain, 'archived_id') or '' }) do
    if string.match(id, '^%d+%-%d+$') then return id end
  end
  return '0-0'
end

return once(function(now)
  local chain, seals = K.receipts_chain, K.receipts_seals
  if sealed_until(chain) ~= options.was then return { sealed = false } end
  redis.call('HSET', chain, 'sealed_n', options.n, 'sealed_id', options.id, 'sealed_head', options.head)
  local last = number(redis.call('ZRANGE', seals, -1, -1, 'WITHSCORES')[2] or redis.call('HGET', chain, 'archived_n'), 0)
  if options.n - last >= SPARSE then redis.call('ZADD', seals, options.n, options.id .. ' ' .. options.head) end
  return { sealed = true }
end)
