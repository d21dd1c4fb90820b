-- may: which commands does this user of Redis lack? Redis 7 and Valkey can tell; no key is touched.
--   KEYS     one of the keys (see keys.py)
--   ARGV     names of commands
--   returns  those that are refused, or that this server does not have; nil: it cannot tell
if not redis.acl_check_cmd then return nil end
local refused = {}
for _, name in ipairs(ARGV) do
  local second = string.find(name, '^EVAL') and '1' or KEYS[1]  -- no key, or it stands where only keys may
  local known, may = pcall(redis.acl_check_cmd, name, KEYS[1], second, KEYS[1], KEYS[1])
  if not (known and may) then refused[#refused + 1] = name end
end
return refused
