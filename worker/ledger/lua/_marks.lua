-- Marks of deletions that were archived, written and taken away: see _archived.lua.
local mark_of, write_mark, drop_mark, forget_mark, bring_back
do
local LONGEST = 64  -- bytes of a field or a value: with longer ones Redis takes a bucket apart
local LETTERS = { whole = 'w', whole_by_acknowledgement = 'a', unverifiable = 'v' }

-- The mark of a record; nil: it would be too long. n: its receipt's number.
function mark_of(ref, r, n, verdict, sent)
  local letters = string.sub(r[F.state], 1, 1) .. (r[F.listed] == '1' and 'l' or '-') .. (r[F.outcome_unknown] == '1' and 'u' or '-')
    .. string.sub(sent, 1, 1) .. (LETTERS[verdict] or '-')
  local job = r[F.parent] and ' ' .. string.match(r[F.parent], '[^/]*$') or ''
  local text = letters .. ' ' .. ms(tonumber(r[F.finished_at]) / 1000) .. ' ' .. ms(n) .. ' ' .. (r[F.round] or '1') .. job
  local _, name = spoilt.place_of(ref)
  return #text <= LONGEST and #name <= LONGEST and text or nil
end

function write_mark(ref, state, text)
  local key, name = spoilt.place_of(ref)
  if redis.call('HSET', key, name, text) == 1 then spoilt.count_mark(ref, state, 1) end
end

function drop_mark(ref, r)
  local key, name = spoilt.place_of(ref)
  if redis.call('HDEL', key, name) == 1 then spoilt.count_mark(ref, r[F.state], -1) end
end

-- Nothing is known of the deletion any more.
function forget_mark(ref, r)
  drop_mark(ref, r)
  count_part(ref, r[F.state])
  if r.verdict then redis.call('HINCRBY', K.verdicts, r.verdict, -1) end
end

-- It is about to be written to, so it needs a record: what the mark says, and a line that says where the rest is.
local FIELDS = { F.state, F.lane, F.requested_at, F.deadline, F.finished_at, F.round, F.listed, F.outcome_unknown, F.parent, F.history }
function bring_back(ref, r)
  if not r.archived then return end
  local account = r.account and ',"account":"' .. r.account .. '"' or ''
  r[F.history] = 'E ' .. r[F.finished_at] .. ' {"event":"deletion.archived","sent":"' .. r.sent .. '","receipt":' .. r.n .. account .. '}'
  local set = {}
  for _, name in ipairs(FIELDS) do
    if r[name] then set[#set + 1], set[#set + 2] = name, r[name] end
  end
  redis.call('HSET', record(ref), unpack(set))
  redis.call('ZADD', index_of(r[F.state], r[F.lane], ref), r[F.finished_at], ref)
  if r.verdict then
    redis.call('HSET', K.erasure .. ref, E.related, 'verify', E.inventory, r.verdict == 'unverifiable' and 'none' or 'done', E.parts, '[]',
      E.opened_at, r[F.finished_at], E.closed_at, r[F.finished_at], E.verdict, r.verdict)
  end
  drop_mark(ref, r)
  r.archived = nil
end
end
