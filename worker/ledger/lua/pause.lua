-- pause: the red button. No call leaves for this account until somebody resumes it.
--   KEYS[1]  the account's prefix
--   ARGV     caller, operation number, options (JSON: why, by, act (see _audit.lua))
--   returns  {"now", "was": true when it was paused before}
--include _drains
--include _once
--include _gate
--include _audit

return once(function(now)
  local was = read_gate().paused and true or false
  put('paused', options.why)
  put('paused_by', options.by or '')
  if not was then
    put('paused_at', now)
    emit(now, 'account.closed', { scope = 'account', cause = 'paused' })
  end
  write_gate()
  audit(now, { [was and 'replaced' or 'paused'] = 1 })
  return { was = was }
end)
