-- record_event: write an event down that no other move makes true.
--   KEYS[1]  the account's prefix
--   ARGV     caller, operation number, options (JSON: event, about (see _outbox.lua))
--   returns  {"now"}
--include _once

return once(function(now)
  emit(now, options.event, options.about)
  return {}
end)
