-- close_key: a key was refused, or somebody else tries it just now: whoever holds it calls nobody for this account.
--   KEYS[1]  the account's prefix
--   ARGV     caller, operation number, options (JSON: key (its fingerprint), record (its name), rest (ms), why,
--            target, quiet (it is only being tried), server_time (ms; it was refused for its clock: the next call is
--            signed with MetaStudio's))
--   returns  {"now"}
--include _drains
--include _once
--include _gate

return once(function(now)
  local c = { why = options.why, target = options.target, record = options.record, quiet = options.quiet }
  refuse_key(now, options.key, now + options.rest, c)
  if options.server_time then learnt_clock(now, { skew = options.server_time - now }) end
  write_gate()
  return {}
end)
