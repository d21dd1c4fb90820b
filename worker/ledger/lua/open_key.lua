-- open_key: a key was accepted: every call of this account may go with it.
--   KEYS[1]  the account's prefix
--   ARGV     caller, operation number, options (JSON: key (its fingerprint))
--   returns  {"now", "was": whether it was closed}
--include _drains
--include _once
--include _gate

return once(function(now)
  local was = num('bad:' .. options.key, 0) > 0
  accept_key(now, options.key)
  write_gate()
  return { was = was }
end)
