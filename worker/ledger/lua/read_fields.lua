-- read_fields: a few fields of up to 500 records. Changes nothing; one long answer is read ten times faster than
-- thousands.
--   KEYS[1]  the account's prefix
--   ARGV     names of fields (JSON), then up to 500 refs
--   returns  one list a ref: the values in the order of the names, false where there is none
--include _account
local names = cjson.decode(ARGV[1])
local found = {}
for i = 2, #ARGV do
  local values = redis.call('HMGET', record(ARGV[i]), unpack(names))
  local mark = redis.call('EXISTS', record(ARGV[i])) == 0 and archived(ARGV[i], true) or {}
  for j, name in ipairs(names) do values[j] = values[j] or mark[name] or false end
  found[#found + 1] = values
end
return cjson.encode(found)
