-- An experiment: a throw-away job is deleted, and how MetaStudio treats what it leaves is looked at and kept: see
-- rules/experiment.py. It is an erasure with a schedule of its own; nothing of it is deleted by us but the job.
--   experiments          zset   refs of the jobs; score: when the experiment began
--   experiment:<ref>     hash   by, why, at (when it began), schedule (JSON: seconds after the DELETE),
--                               answers (an answer of MetaStudio's as JSON a line), closed (when the last look was made)
local LONGEST = 100000  -- bytes of a log: far more than all looks of the schedule write
local function experiment(ref) return K.experiment .. ref end

local function schedule_of(ref)
  local kept = redis.call('HMGET', experiment(ref), 'schedule', 'closed')
  return not kept[2] and table_of(kept[1]) or nil
end

-- When to look first, ms after the DELETE; nil: it is no experiment.
local function first_look(ref)
  local schedule = schedule_of(ref)
  return schedule and tonumber(schedule[1]) and tonumber(schedule[1]) * 1000
end

local function keep_answers(ref, lines, closes, now)
  local name = experiment(ref)
  if redis.call('EXISTS', name) == 0 then return end
  local log = redis.call('HGET', name, 'answers')
  if lines ~= '' and #(log or '') + #lines <= LONGEST then
    redis.call('HSET', name, 'answers', log and log .. '\n' .. lines or lines)
  end
  if closes then redis.call('HSET', name, 'closed', ms(now)) end
end
