-- read_fields: a few fields of up to 500 records. Changes nothing; one long answer is read ten times faster than
-- thousands.
--   KEYS[1]  the account's prefix
--   ARGV     names of fields (JSON), then up to 500 refs
--   returns  one list a ref: the values in the order of the names, false where there is none
--include _account
local names = cjson.decode(ARGV[1])
local found = {}
for i = 2, #ARGV do found[#found + 1] = redis.call('HMGET', record(ARGV[i]), unpack(names)) end
return cjson.encode(found)
