-- read_receipts: the next entries of the receipts' stream. Changes nothing; one long answer is read ten times faster
-- than thousands.
--   KEYS[1]  the account's prefix
--   ARGV     after this id, how many
--   returns  one list an entry: its id, and a list of its fields and their values in turn
--include _account
local page, redacted = redis.call('XRANGE', K.receipts, '(' .. ARGV[1], '+', 'COUNT', ARGV[2]), redis.call('ZRANGE', K.receipts_redacted, 0, -1)
local shifts = redis.call('HGET', K.receipts_chain, 'shifts') or ''
if #redacted == 0 and shifts == '' then return cjson.encode(page) end

local function place(id)  -- both numbers at full length: as texts they compare like numbers, however large
  local at, seq = string.match(id, '^(%d+)%-(%d+)$')
  return string.rep('0', 20 - #at) .. at .. string.rep('0', 20 - #seq) .. seq
end

-- Behind the files of a Redis that was newer than this one was, numbers are higher: see begin_segment.lua.
for id, by in string.gmatch(shifts, '(%d+%-%d+) (%d+);') do
  for _, entry in ipairs(page) do
    if entry[2][1] == 'n' and place(entry[1]) <= place(id) then entry[2][2] = string.format('%.0f', entry[2][2] + by) end
  end
end

-- Those that were redacted (see redact.lua) stand between the others, by their ids.
for _, text in ipairs(redacted) do
  local entry = cjson.decode(text)
  if place(entry[1]) > place(ARGV[1]) then page[#page + 1] = entry end
end
table.sort(page, function(a, b) return place(a[1]) < place(b[1]) end)
local first = {}
for i = 1, math.min(#page, tonumber(ARGV[2])) do first[i] = page[i] end
return #first == 0 and '[]' or cjson.encode(first)
