-- note_quota: keep what the API gateway says of its limit for a family of calls.
--   KEYS[1]  the account's prefix
--   ARGV     caller, operation number, options (JSON: family, scope, limit, period_s, remaining)
--   returns  {"now"}
--include _once
--include _gate

return once(function(now)
  note_quota(now, options)
  write_gate()
  return {}
end)
