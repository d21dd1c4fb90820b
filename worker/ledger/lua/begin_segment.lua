-- begin_segment: the files have receipts that this Redis lost (see receipts/restored.py), so the chain goes on behind
-- them: what is here and in no file gets the numbers after the last file's, in the same order.
--   KEYS[1]  the account's prefix
--   ARGV     caller, operation number, options (JSON: was (the id that was archived last), known_n, known_id (the last
--            receipt that the files have, too), n, head (the last one of the files), day (since 1970, the first that the
--            next file may have))
--   returns  {"now", "begun": bool}: false where something was archived meanwhile
--
--   receipts:chain  shifts  '<id> <by>;…': the number of an entry up to this id is so much higher than the stream has it
--                           (see read_receipts.lua)
--                   day     receipts count as of this day at least
--include _drains
--include _once

return once(function(now)
  local chain = K.receipts_chain
  if (redis.call('HGET', chain, 'archived_id') or '0-0') ~= options.was then return { begun = false } end
  local by = options.n - options.known_n
  local last = redis.call('XREVRANGE', K.receipts, '+', '-', 'COUNT', 1)[1]
  local shifts = (redis.call('HGET', chain, 'shifts') or '') .. (last and last[1] .. ' ' .. ms(by) .. ';' or '')
  for _, text in ipairs(redis.call('ZRANGEBYSCORE', K.receipts_redacted, '(' .. ms(options.known_n), '+inf')) do
    local entry = table_of(text)  -- what was redacted has its number in itself
    if entry then
      for i = 1, #entry[2], 2 do
        if entry[2][i] == 'n' then entry[2][i + 1] = ms(number(entry[2][i + 1], 0) + by) end
      end
      redis.call('ZADD', K.receipts_redacted, redis.call('ZSCORE', K.receipts_redacted, text) + by, cjson.encode(entry))
      redis.call('ZREM', K.receipts_redacted, text)
    end
  end
  redis.call('HINCRBY', chain, 'n', ms(by))
  redis.call('HSET', chain, 'shifts', shifts, 'day', options.day)
  for _, place in ipairs({ 'archived', 'sealed' }) do
    redis.call('HSET', chain, place .. '_n', options.n, place .. '_id', options.known_id, place .. '_head', options.head)
  end
  redis.call('DEL', K.receipts_seals)
  return { begun = true }
end)
