-- Counters: what ever happened, counted by the moves themselves. A move and its count are one, so no crash parts them.
--   counters  hash    deletion.<event> [<detail>]          how often; the detail is a cause, an evidence or another
--   word of ours
--                     call <outcome> <bound>               DELETE calls by outcome that took at most so many ms ('inf':
--                     longer
--                                                          than all bounds) and more than the bound before
--                     ms <outcome>                         the milliseconds of all of them together
--   ends:<hour>  hash   '<minute> <state>'              how many ended so in that minute since 1970; gone after two
--   hours
-- The words are of fixed sets: no id, code or message ever becomes a field.
local BOUNDS = { 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000 }

local count_later  -- of a move that adds up what many of its kind count; see take.lua
local function count(field, n)
  if count_later then count_later('n:' .. field, n or 1) else redis.call('HINCRBY', K.counters, field, n or 1) end
end

local function count_call(outcome, took)
  local bound = 'inf'
  for i = 1, #BOUNDS do
    if took <= BOUNDS[i] then
      bound = BOUNDS[i]
      break
    end
  end
  count('call ' .. outcome .. ' ' .. bound)
  count('ms ' .. outcome, math.floor(took + 0.5))
end

-- An end, or a person's act on a dead letter; `why`: its cause or evidence.
local function count_end(from, to, why)
  if to == 'dead' and from == 'discarded' then count('deletion.restored')
  elseif to == 'dead' then count('deletion.died ' .. (why or 'unknown'))
  elseif to == 'gone' then count('deletion.gone ' .. (why or 'unknown'))
  else count('deletion.' .. to) end
end

local function add_to_minute(field, n)
  local hour = K.ends .. math.floor(tonumber(string.match(field, '^%d+')) / 60)
  if redis.call('HINCRBY', hour, field, n) == tonumber(n) then redis.call('PEXPIRE', hour, 7200000) end  -- no promise
end

local function count_minute(now, to)
  local field = ms(now / 60000) .. ' ' .. to
  if count_later then count_later('e:' .. field, 1) else add_to_minute(field, 1) end
end
