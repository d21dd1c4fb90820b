-- What one account knows of keys: a copy of what their own records say (see key.lua), so that no call has to ask
-- there.
local LATELY = 120000  -- ms; a key in use is noted as good once a minute
local DAY = 86400000

-- Whether a key was good a moment ago: one machine's bad or missing key must not stop those that have another.
local function good_key_lately(now)
  for name, at in pairs(read_gate()) do
    if string.sub(name, 1, 5) == 'good:' and now - number(at, 0) < LATELY then return true end
  end
  return false
end

-- This key is good. Keys that were not used for a day are forgotten: temporary ones come by the hour.
local function remember_key(now, key)
  for name, at in pairs(read_gate()) do
    local kind = string.match(name, '^(%a+):')
    if kind == 'sees' then drop(name) end  -- of an earlier version: it never expired, so it was no evidence
    if (kind == 'good' or kind == 'bad' or kind == 'trying') and number(at, 0) < now - DAY then drop(name) end
  end
  put('good:' .. key, now)
end

-- It is not used until then. c: why, target, by, record (its name); quiet where an executor tries it just now.
local function refuse_key(now, key, till, c)
  drop('good:' .. key, 'trying:' .. key)
  put('bad:' .. key, till)
  if good_key_lately(now) then return end
  c.cause, c.pause = 'credentials', math.max(0, till - now)
  close(now, 'key ' .. key, c)
end

local function accept_key(now, key)
  for name in pairs(read_gate()) do
    if string.sub(name, 1, 4) == 'bad:' then open('key ' .. string.sub(name, 5)) end
  end
  drop('bad:' .. key, 'trying:' .. key)
  remember_key(now, key)
  local c = closure('account')
  if c and c.cause == 'credentials' then open('account') end
end
