-- acquire_slot: which worker does a policy's slot? One, once: decided here, not by a lock. Another one only if the first
-- is gone.
--   KEYS[1]  the account's prefix
--   ARGV     caller, operation number, options (JSON): step (begin | renew | leave | done), policy, schedule (its
--   text),
--            slot (ms since 1970), run (an id), lease (ms)
--   returns  {"now", "verdict", "run", "tries"}; verdicts of begin:
--            mine     do it now, under the run's id (an earlier one's where that one was lost)
--            first    the policy or its schedule is new, or a clock was wrong: what lies before now is not made up
--            done     it was done, or a later slot was
--            busy     another worker does this or an earlier slot of the policy, or it is not known what time it is
--            lost     begun three times and never finished: left for a person
--   `slots` hash: policy -> JSON {slot, schedule, run, until, done, tries}
--include _once
local MOST_TRIES = 3
local WRONG_CLOCK = 2 * 86400000  -- ms: a slot further ahead of Redis's clock, and of ours, was one of a machine that erred
local function write(entry) redis.call('HSET', K.slots, options.policy, cjson.encode(entry)) end

local function read()
  local stored = redis.call('HGET', K.slots, options.policy)
  local entry = table_of(stored)
  if entry and number(entry.slot) and number(entry['until'], 0) and number(entry.tries) and type(entry.schedule) == 'string' then return entry end
  if stored then damage('slots ' .. options.policy, 'it cannot be read', stored) end
end

local function begin(now, entry)
  if not clocks_agree() then return 'busy' end  -- whoever asks next, and knows what time it is
  if entry and entry.slot > math.max(now, options.slot) + WRONG_CLOCK then entry = nil end
  if not entry or entry.schedule ~= options.schedule then
    write({ slot = options.slot, schedule = options.schedule, done = true, tries = 0 })
    return 'first'
  end
  if entry.slot > options.slot or (entry.slot == options.slot and entry.done) then return 'done' end
  -- a claim that lasts longer than any is of a clock that had erred
  if not entry.done and entry['until'] > now and entry['until'] <= now + options.lease then return 'busy' end
  local again = not entry.done and entry.slot == options.slot
  local tries = again and entry.tries + 1 or 1
  if tries > MOST_TRIES then
    entry.done = true
    write(entry)
    return 'lost', entry
  end
  local mine = { slot = options.slot, schedule = options.schedule, run = again and entry.run or options.run,
    ['until'] = now + options.lease, done = false, tries = tries }
  write(mine)
  return 'mine', mine
end

local function go_on(now, entry)
  if not entry or entry.run ~= options.run or entry.done then return 'done', entry end
  if options.step == 'renew' then entry['until'] = now + options.lease
  elseif options.step == 'leave' then
    entry['until'] = 0
    entry.tries = entry.tries - 1  -- a worker that stops is no try
  else entry.done = true end
  write(entry)
  return 'mine', entry
end

return once(function(now)
  local entry = read()
  local verdict, mine
  if options.step == 'begin' then verdict, mine = begin(now, entry) else verdict, mine = go_on(now, entry) end
  return { verdict = verdict, run = mine and mine.run, tries = mine and mine.tries }
end)
