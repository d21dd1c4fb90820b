-- The outbox: what webhooks are about (see docs/webhooks.md). The move that makes an event true appends it, so that no
-- crash parts the two; fan_out.lua takes it. Nothing is written unless a worker that has endpoints was here lately.
--   outbox  stream  event, at (ms), about (JSON): ids, states, causes and times only
local OUTBOX_MOST = 100000  -- about: nobody took anything for very long
local outbox_until          -- `account`: outbox; read by once()
each_call(function() outbox_until = nil end)

local function emit(now, event, about)
  if not outbox_until or outbox_until < now then return end
  redis.call('XADD', K.outbox, 'MAXLEN', '~', OUTBOX_MOST, '*', 'event', event, 'at', ms(now), 'about', cjson.encode(about))
end
