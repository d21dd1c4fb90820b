--include _clock
--include _account
-- A caller numbers its operations. The last one again: its first answer again. An older one, delayed on the way:
-- nothing.
-- Measured: a client library that retries by itself runs a script twice when an answer is lost.
--   ops  hash  caller -> '<number> <when (ms)> <answer>' of its last operation; `forget` takes away what is an hour
--              old. No expiry of Redis's: that would come early when Redis's clock jumps.
-- Behind the number, and a blank, stands the address of MetaStudio that the caller's settings name, if they name one,
-- and what time it is by its clocks (see _clock.lua). An account has one address, from its first use on (`account`:
-- endpoint, since), and a caller with another one changes nothing: jobs of one MetaStudio do not exist at the other, so
-- each of them would look like one that is gone.
-- `schema` is the highest version of the schema whose program ever made a move here. Whoever is more than one step away
-- from it changes nothing: two neighbours understand each other, so that an update may be rolled out and back worker by
-- worker. It never goes down: after a rollback records of the newer version are still there. An account that has an
-- address and no version is of version 1.
--include _outbox
local options
local knobs, kinds_of_knobs = {}, 0  -- of gates, by their text, a line behind the options: the same from call to call
each_call(function()
  local line = string.find(ARGV[3], '\n', 1, true)
  options = cjson.decode(line and string.sub(ARGV[3], 1, line - 1) or ARGV[3])
  if not line then return end
  local text = string.sub(ARGV[3], line + 1)
  if not knobs[text] then
    if kinds_of_knobs == 20 then knobs, kinds_of_knobs = {}, 0 end
    knobs[text], kinds_of_knobs = cjson.decode(text), kinds_of_knobs + 1
  end
  options.gate = knobs[text]
end)

-- body(now): what the move answers, but for the time. unless(): an answer in its place, or nil. later: see clock().
local function once(body, unless, later)
  local caller = ARGV[1]
  local seq_text, endpoint = string.match(ARGV[2], '^(%d+) ?([^ @]*)')
  local seq = tonumber(seq_text)
  local kept_answer = redis.call('HGET', K.operations, caller) or ''
  local last = tonumber(string.match(kept_answer, '^(%d+) %d+ '))
  if last == seq then
    if options.confirmed then redis.call('HSET', K.operations, caller, kept_answer) end  -- WAIT is about what a connection wrote
    return string.match(kept_answer, '^%d+ %d+ (.*)$')
  end
  if last and last > seq then return '{"stale":true}' end
  local kept = redis.call('HMGET', K.account, 'endpoint', 'schema', 'outbox')
  local bound, version = kept[1], number(kept[2], kept[2] and SCHEMA_VERSION or kept[1] and 1)  -- spoilt: check.lua reports it
  outbox_until = number(kept[3])
  if version and math.abs(version - SCHEMA_VERSION) > 1 then return cjson.encode({ schema = version }) end
  if bound and endpoint ~= '' and bound ~= endpoint then return cjson.encode({ elsewhere = bound }) end
  local first, newer = not bound and endpoint ~= '', not kept[2] or version < SCHEMA_VERSION
  if first or newer then redis.call('ZREM', K.waiting_executors, '-') end  -- see _drains.lua
  if first then redis.call('HSET', K.account, 'endpoint', endpoint, 'since', ms(clock())) end
  if newer then redis.call('HSET', K.account, 'schema', SCHEMA_VERSION) end
  local answer = unless and unless() or body(clock(later))
  if spoilt.paused then
    if spoilt.paused == 'account' then outbox_until = outbox_until or clock() end  -- it stood there
    emit(clock(), 'account.closed', { scope = 'account', cause = 'paused' })
  end
  answer.now = math.floor(clock())
  tell_clocks(answer)
  if #spoilt.found > 0 then answer.damage = spoilt.found end
  local text = cjson.encode(answer)
  redis.call('HSET', K.operations, caller, seq_text .. ' ' .. ms(clock()) .. ' ' .. text)
  return text
end

-- One move over the refs that came along. move(ref, r, now, i): what became of one; r: its record (see _damage.lua).
-- Returns the results, one a ref, and how often there was each.
local function each_ref(move, now)
  local results, counts = {}, {}
  for i = 4, #ARGV do
    local result = move(ARGV[i], sound(ARGV[i]), now, i - 3)
    results[i - 3] = result
    counts[result] = (counts[result] or 0) + 1
  end
  return results, counts
end
