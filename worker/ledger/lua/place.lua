-- place: say whether anything of a project may be done in this account.
--   KEYS[1]  the account's prefix
--   ARGV     caller, operation number, options (JSON: project, place (see _places.lua),
--            expect: only if it is this now ('': nothing was said yet))
--   returns  {"now", "done": whether it is so now}
--   Only whoever has asked the register says 'here' (see worker/ledger/places.py). 'moved' stays: whoever read the
--   register before a move must not find the mark as it was.
--include _drains
--include _once
--include _places

return once(function(now)
  local was = redis.call('HGET', K.projects, options.project) or ''
  local done = not options.expect or options.expect == was
  if done then redis.call('HSET', K.projects, options.project, options.place) end
  return { done = done }
end)
