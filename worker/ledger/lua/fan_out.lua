-- fan_out: events leave the outbox and become deliveries, one for each endpoint that wants them.
--   KEYS[1]  the account's prefix
--   ARGV     caller, operation number, options (JSON: most, endpoints: [{name, events: {<event>: true}, projects: {<id>:
--            true} (none: all), account (bool: it wants what is about the account and no project)}])
--   returns  {"now", "taken": how many events, "dead": endpoint -> how many were given up because too many wait}
--include _once
--include _deliveries
local DAY, HOUR = 86400000, 3600000  -- events are written down for a day after the last worker with endpoints was here

local function wants(endpoint, event, about)
  if not endpoint.events[event] then return false end
  if not endpoint.projects then return true end
  local project = string.match(about.ref or '', '^([^/]+)/') or string.match(about.scope or '', '^project ([^/]+)')
  if not project then return endpoint.account end
  return endpoint.projects[project]
end

local function deliver(now, endpoint, id, e)
  redis.call('HSET', delivery(endpoint, id), 'event', e.event, 'at', e.at, 'about', e.about)
  waits(now, endpoint, id)
  count_delivery(endpoint, 'made')
end

return once(function(now)
  if (outbox_until or 0) < now + DAY - HOUR then redis.call('HSET', K.account, 'outbox', ms(now + DAY)) end
  local entries = redis.call('XRANGE', K.outbox, '-', '+', 'COUNT', options.most)
  for _, entry in ipairs(entries) do
    local e, id = {}, 'msg_' .. string.sub(redis.sha1hex(options.salt .. KEYS[1] .. entry[1]), 1, 32)
    for i = 1, #entry[2], 2 do e[entry[2][i]] = entry[2][i + 1] end
    local about = table_of(e.about)
    for _, endpoint in ipairs(about and e.event and e.at and options.endpoints or {}) do
      if wants(endpoint, e.event, about) then deliver(now, endpoint.name, id, e) end
    end
    redis.call('XDEL', K.outbox, entry[1])
  end
  if #entries > 0 and #entries < options.most then redis.call('DEL', K.outbox) end  -- an empty one would be looked at
  local dead = {}
  for _, endpoint in ipairs(#entries > 0 and options.endpoints or {}) do
    local many = keep_few(now, endpoint.name)
    if many > 0 then dead[endpoint.name] = many end
  end
  return { taken = #entries, dead = next(dead) and dead or nil }
end)
