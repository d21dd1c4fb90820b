-- resume: a person says that calls may go again. What was closed is tried at once.
--   KEYS[1]  the account's prefix
--   ARGV     caller, operation number, options (JSON: gate, act (see _audit.lua))
--   returns  {"now", "was": what kept it closed or null, "records": of refused keys}
--include _drains
--include _once
--include _gate
--include _audit

return once(function(now)
  local was, records = read_gate().paused and 'paused', {}
  local closed = redis.call('HKEYS', K.closures)
  if #closed > 0 then put('closed', #closed) end  -- the gate that counted them may have been damaged
  for _, name in ipairs(closed) do
    local c = closure(name)
    if c then
      was = was or not c.quiet and c.cause or nil
      if c.record then records[#records + 1] = c.record end
      if c.cause == 'outage' then  -- a harmless list goes first; the rest is found out anew
        c['until'] = tonumber(ms(now))
        write_closure(name, c)
      else open(name) end
    end
  end
  if read_gate().paused then emit(now, 'account.opened', { scope = 'account', cause = 'paused' }) end
  drop('paused', 'paused_at', 'paused_by', 'throttled_until', 'throttles', 'slow')
  for name in pairs(read_gate()) do
    if string.sub(name, 1, 4) == 'bad:' or string.sub(name, 1, 7) == 'trying:' then drop(name) end
  end
  write_gate()
  audit(now, { [was or 'ok'] = 1 })
  return { was = was, records = records }
end)
