-- key_unreported: whoever tried this key was told nothing of it: somebody else may try.
--   KEYS[1]  the key's record (see _key.lua)
--   ARGV     cfg (JSON), fingerprint, who tried
--   returns  {}
--include _key
if value('trying') == ARGV[2] and value('trying_by') == ARGV[3] then end_try() end
return '{}'
