-- pack: all that stands here of some jobs, for another account. Changes nothing.
--   KEYS[1]  the account's prefix
--   ARGV     up to 500 refs
--   returns  [{"seal", and what _contents.lua says}, …]
--include _account
--include _contents
local packed = {}
for i, ref in ipairs(ARGV) do
  packed[i] = contents(ref)
  packed[i].seal = seal_of(packed[i])
end
return cjson.encode(packed)
