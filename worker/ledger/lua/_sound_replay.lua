-- Can a replay be driven? One that makes no sense is put aside: its letters that began go on as if they had been
-- replayed one by one.
local REPLAY_STATES = { planning = true, running = true, stopping = true, done = true, stopped = true, cancelled = true }
local REPLAY_STAGES = { canary = true, ten = true, hundred = true, rest = true }
local REPLAY_NUMBERS = { 'cursor', 'total', 'at', 'mark', 'deadline', 'fed', 'open', 'recalled' }

local function why_unsound_replay(R, id)
  local v = redis.call('HMGET', R, 'state', 'stage', unpack(REPLAY_NUMBERS))
  if not REPLAY_STATES[v[1]] then return 'its state cannot be' end
  if v[1] == 'planning' then return nil end
  if not REPLAY_STAGES[v[2]] then return 'its stage cannot be' end
  for i, name in ipairs(REPLAY_NUMBERS) do
    if not number(v[i + 2]) and (v[i + 2] or name ~= 'recalled') then return 'its field ' .. name .. ' cannot be' end
  end
  if v[1] == 'running' and redis.call('LLEN', K.replay_refs .. id) < number(v[4]) then return 'its list has lost letters' end
end

local function sound_replay(id)
  local R = replay_key(id)
  local why = why_unsound_replay(R, id)
  if not why then return end
  local listed = redis.call('ZREM', K.replays_feeding, id) + redis.call('ZREM', K.replays, id)
  if redis.call('EXISTS', R) == 1 then
    spoilt.key_aside(R, why)
  elseif listed > 0 then
    damage('replay:' .. id, 'its record is missing')
  end
end
