-- read_indexes: the next entries of some indexes, from a place on and in order. Changes nothing.
--   KEYS[1]  the account's prefix
--   ARGV     'down' (latest first) or 'up'; the last score; how many of each index; then three of each index: its name,
--            the first score ('(' before it leaves that score out), and the member behind which it goes on within that
--            score, or ''
--   returns  of each index how many entries it has, then members and their scores in turn
local down = ARGV[1] == 'down'

-- Members of one score are in the order of their bytes; Lua's own `<` follows the locale.
local function is_less(a, b)
  for i = 1, math.min(#a, #b) do
    local x, y = string.byte(a, i), string.byte(b, i)
    if x ~= y then return x < y end
  end
  return #a < #b
end

local function entry(key, rank)
  if down then return redis.call('ZRANGE', key, rank, rank, 'REV')[1] end
  return redis.call('ZRANGE', key, rank, rank)[1]
end

-- The rank of the first entry behind `member`, which may have left the index meanwhile; thousands may have its score.
local function rank_behind(key, score, member)
  local low = down and redis.call('ZCOUNT', key, '(' .. score, '+inf') or redis.call('ZCOUNT', key, '-inf', '(' .. score)
  local high = low + redis.call('ZCOUNT', key, score, score)
  while low < high do
    local middle = math.floor((low + high) / 2)
    local other = entry(key, middle)
    local behind = down and is_less(other, member) or not down and is_less(member, other)
    if behind then high = middle else low = middle + 1 end
  end
  return low
end

local found = {}
for i = 4, #ARGV, 3 do
  local key, from, member = KEYS[1] .. ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local range = { key, from, ARGV[2], 'BYSCORE' }
  if member ~= '' then
    local rank = rank_behind(key, from, member)
    range = { key, rank, rank + ARGV[3] - 1 }
  end
  if down then range[#range + 1] = 'REV' end
  if member == '' then range[#range + 1], range[#range + 2], range[#range + 3] = 'LIMIT', 0, ARGV[3] end
  range[#range + 1] = 'WITHSCORES'
  found[#found + 1] = { redis.call('ZCARD', key), unpack(redis.call('ZRANGE', unpack(range))) }
end
return found
