-- may: which commands does this user of Redis lack? Redis 7 and Valkey can tell; no key is touched.
--   KEYS     one of the keys (see keys.py)
--   ARGV     names of commands
--   returns  those that are refused
local refused = {}
for _, name in ipairs(ARGV) do
  local args = name == 'BZPOPMIN' and { KEYS[1], '1' } or { KEYS[1], '1', KEYS[1], KEYS[1] }
  if not redis.acl_check_cmd(name, unpack(args)) then refused[#refused + 1] = name end
end
return refused
