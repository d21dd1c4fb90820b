-- What another program damaged is put aside, reported, and stops nothing.
--   damaged         hash    name of a key (less the prefix), of its field, or of a deletion (its ref) -> JSON {at, why}
--   aside:<name>    any     what stood there, as it was, until a person has looked at it (see undamage.lua)
-- A script that fails in the middle keeps what it wrote so far, so none may fail: each command of all fragments goes
-- through the `redis.call` below, which meets an empty place where a key is of a wrong type or a number is none.
local spoilt = {}  -- found: {name, why}, for the answer; paused: because of which key (see _once.lua)
local number, table_of, damage
local raw
each_call(function()
  raw = redis
  spoilt.list, spoilt.found, spoilt.no_holds, spoilt.paused = K.damaged, {}, nil, nil
end)
do

local function short(text) return string.sub(string.gsub(tostring(text), '[^%w%p ]', '?'), 1, 60) end

function spoilt.tell(name, why) spoilt.found[#spoilt.found + 1] = { short(name), why } end

-- Write down that something is spoilt, and why. value: what was found there, if that says more.
function damage(name, why, value)
  if value then why = why .. ': ' .. short(value) end
  spoilt.tell(name, why)
  local entry = cjson.encode({ at = tonumber(raw.call('TIME')[1]) * 1000, why = why })
  local written = raw.pcall('HSETNX', spoilt.list, name, entry)
  if type(written) == 'table' then
    raw.call('DEL', spoilt.list)
    raw.call('HSET', spoilt.list, name, entry, 'damaged', entry)
  end
end

-- Without these nothing is sent until a person has looked: what was on hold cannot be told from the rest, an operator may
-- have paused, nobody knows any more which MetaStudio the account belongs to, or which part of an erasure is several jobs'.
local PAUSES = { ['holds:jobs'] = 'the hold list', ['holds:users'] = 'the hold list', gate = 'the gate',
  account = 'the address', assets = 'who named what' }
function spoilt.key_aside(key, why)
  local name = string.gsub(string.sub(key, #KEYS[1] + 1), '^d:', '')
  raw.call('RENAME', key, K.put_aside .. name)
  damage(name, why)
  if PAUSES[name] then
    spoilt.no_holds = spoilt.no_holds or PAUSES[name] == 'the hold list'
    spoilt.paused = spoilt.paused or raw.pcall('HEXISTS', K.gate, 'paused') == 0 and name
    raw.pcall('HSET', K.gate, 'paused', PAUSES[name] .. ' was damaged (' .. name .. '): see eraser damaged list',
      'paused_at', tonumber(raw.call('TIME')[1]) * 1000)
  end
end

function spoilt.wrong_kind(key)
  spoilt.key_aside(key, 'it was a ' .. raw.call('TYPE', key).ok .. ', which is the wrong kind of key')
end

-- Put aside what stands in the way of a command that failed.
local function clear(err, command, key, field)
  if type(key) ~= 'string' or string.sub(key, 1, #KEYS[1]) ~= KEYS[1] or key == spoilt.list then return end
  local no_number = string.find(err, 'not an integer', 1, true)
  if string.find(err, 'WRONGTYPE', 1, true) then
    spoilt.wrong_kind(key)
  elseif command == 'HINCRBY' and no_number then
    damage(string.sub(key, #KEYS[1] + 1) .. ' ' .. field, 'it was no number', raw.call('HGET', key, field))
    raw.call('HDEL', key, field)
  elseif command == 'INCR' and no_number then
    spoilt.key_aside(key, 'it was no number')
  elseif command == 'XADD' and (string.find(err, 'ID specified', 1, true) or string.find(err, 'last possible ID', 1, true)) then
    spoilt.key_aside(key, 'nothing could be added to it: ' .. short(err))
  end
end

function spoilt.call(...)
  local answer = raw.pcall(...)
  if type(answer) ~= 'table' or not answer.err then return answer end
  clear(answer.err, ...)
  return raw.call(...)
end

-- What is a number, and no more than one can count with; or the other value.
function number(text, otherwise)
  local x = text and tonumber(text)
  if x and x - x == 0 then return x end  -- infinity less itself is no number, and none equals 0
  return otherwise
end

-- What JSON says, if it is an object or a list; else nil.
function table_of(text)
  local ok, found = pcall(cjson.decode, text or '')
  return ok and type(found) == 'table' and found or nil
end
end
local redis = { call = spoilt.call }
each_call(function() redis.pcall, redis.sha1hex = raw.pcall, raw.sha1hex end)
