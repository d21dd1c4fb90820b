-- record_recheck: what MetaStudio has of jobs that are deleted or gone, and what they left is looked at again. One that came back, or is gone again, gets a
-- receipt; until it is requested again it stands in `back`.
--   KEYS[1]  the account's prefix
--   ARGV     caller, operation number, options (JSON: id (of the run; none: nobody looked for them), results and
--            looks: one a ref, "gone", "back" or "unknown", and the X-Request-Id of its answer, or false; over: the run
--            has ended; was, cursor: of the scheduled one, as it was seen and as it is now), then up to 500 refs
--   returns  {"now", "recorded": false where another worker was faster: nothing changed then}
--   back     zset  ref; score: when it was found. What is deleted once more later than that is not meant any more.
--include _once
--include _history
--include _counters
--include _receipt
--include _marks

local function note_result(ref, r, now, i)
  local found, finished = options.results[i], r and number(r[F.finished_at], 0) or 0
  if r == false or (r and r[F.state] ~= 'deleted' and r[F.state] ~= 'gone') then return found end  -- requested again
  local was = number(redis.call('ZSCORE', K.came_back, ref))
  local is_back, event = was and was >= finished, nil
  if found == 'back' and not is_back then
    redis.call('ZADD', K.came_back, ms(now), ref)
    event = 'came_back'
  elseif found == 'gone' and was then
    redis.call('ZREM', K.came_back, ref)
    event = is_back and 'gone_again' or nil
  end
  if event then count('deletion.' .. event) end
  -- what it left behind is looked at once more: if that is there again, its verdict changes, with a receipt
  if found == 'gone' and redis.call('HGET', erasure(ref), E.closed_at) then redis.call('ZADD', K.erasures, 'NX', together(now, TOGETHER), ref) end
  if event and r then
    bring_back(ref, r)
    note_event(ref, r, now, 'deletion.' .. event)
    receipt(ref, now, r[F.state], r, { look = options.looks[i], finished_at = r[F.finished_at] }, event)
  end
  return found
end

return once(function(now)
  if options.was then
    if redis.call('HGET', K.recheck, 'cursor') ~= options.was then return { recorded = false } end
    if options.over then redis.call('HDEL', K.recheck, 'cursor', 'until') else redis.call('HSET', K.recheck, 'cursor', options.cursor) end
  end
  local _, counts = each_ref(note_result, now)
  if options.id then
    local run = K.recheck_run .. options.id
    redis.call('HSET', run, 'last', ms(now))
    if options.over then redis.call('HSET', run, 'ended', ms(now)) end
    for result, many in pairs(counts) do redis.call('HINCRBY', run, 'n:' .. result, many) end
  end
  return { recorded = true }
end)
