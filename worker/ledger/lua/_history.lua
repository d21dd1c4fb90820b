-- A deletion's history: one line an entry; of its present round in the record's field `log`, which moves read and
-- write, of the rounds before in `past`, which only the next round touches.
--   A <round> <n> <at ms> <json>    an attempt: one DELETE call
--   E <at ms> <json>                anything else that happened, {"event": "deletion.…", …}
-- Of a round the first 3 and the last 20 attempts stay, and the last 40 events; of all rounds before it together the
-- first 20 lines and the last 80. `cut` says how many lines of theirs went.
local KEEP_FIRST, KEEP_LAST, KEEP_EVENTS = 3, 20, 40
local PAST_FIRST, PAST_LAST = 20, 80

local function trimmed(log, round)
  local lines, kept, passed, all, mine = {}, {}, { A = 0, E = 0 }, { A = 0, E = 0 }, 'A ' .. round .. ' '
  for line in string.gmatch(log, '[^\n]+') do
    local kind = string.sub(line, 1, #mine) == mine and 'A' or string.sub(line, 1, 2) == 'E ' and 'E' or nil
    lines[#lines + 1] = { line, kind }
    if kind then all[kind] = all[kind] + 1 end
  end
  if all.A <= KEEP_FIRST + KEEP_LAST and all.E <= KEEP_EVENTS then return log end
  for _, one in ipairs(lines) do
    local line, kind = one[1], one[2]
    if kind then passed[kind] = passed[kind] + 1 end
    local attempt_goes = kind == 'A' and passed.A > KEEP_FIRST and passed.A <= all.A - KEEP_LAST
    local event_goes = kind == 'E' and passed.E <= all.E - KEEP_EVENTS
    if not (attempt_goes or event_goes) then kept[#kept + 1] = line end
  end
  return table.concat(kept, '\n')
end

-- The record's history with one more line: whoever adds it writes it.
local function with_line(r, line)
  local log = r[F.history] or ''
  r[F.history] = log ~= '' and trimmed(log .. '\n' .. line, r[F.round] or '1') or line
  return r[F.history]
end

local function with_event(r, now, name, fields)
  fields = fields or {}
  fields.event = name
  return with_line(r, 'E ' .. ms(now) .. ' ' .. cjson.encode(fields))
end

local function note_event(ref, r, now, name, fields)
  redis.call('HSET', record(ref), F.history, with_event(r, now, name, fields))
end

-- The present round is over: another one begins.
local function fold_history(k, r)
  if (r[F.history] or '') == '' then return end
  local lines, kept = {}, {}
  for line in string.gmatch((r[F.past_history] or '') .. '\n' .. r[F.history], '[^\n]+') do lines[#lines + 1] = line end
  for i, line in ipairs(lines) do
    if i <= PAST_FIRST or i > #lines - PAST_LAST then kept[#kept + 1] = line end
  end
  redis.call('HSET', k, F.past_history, table.concat(kept, '\n'))
  redis.call('HDEL', k, F.history)
  r[F.history] = nil
  if #kept < #lines then redis.call('HINCRBY', k, F.history_dropped, #lines - #kept) end
end
