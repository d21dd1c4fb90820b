-- Marks of deletions that were archived, written and taken away: see _archived.lua.
local write_mark, drop_mark, forget_mark, forget_other_mark, bring_back
do

function drop_mark(ref, r)
  local key, name = spoilt.place_of(ref)
  if redis.call('HDEL', key, name) == 1 then spoilt.count_mark(ref, r[F.state], -1) end
end

-- Nothing is known of the deletion any more.
function forget_mark(ref, r)
  drop_mark(ref, r)
  count_part(ref, r[F.state])
  if r.archived.verdict then redis.call('HINCRBY', K.verdicts, r.archived.verdict, -1) end
end

-- A program that knows no marks makes a record of what it is asked for, also where there is a mark: the record says what
-- holds, so the mark goes with it, or before one is written of it. Both were counted when they came.
function forget_other_mark(ref)
  local left = archived(ref)
  if not left then return false end
  forget_mark(ref, left)
  redis.call('HINCRBY', K.counters, 'deletion.forgotten', 1)
  return true
end

function write_mark(ref, state, text)
  forget_other_mark(ref)
  local key, name = spoilt.place_of(ref)
  redis.call('HSET', key, name, text)
  spoilt.count_mark(ref, state, 1)
end

-- It is about to be written to, so it needs a record: what the mark says, and a line that says where the rest is.
local FIELDS = { F.state, F.lane, F.requested_at, F.deadline, F.finished_at, F.round, F.listed, F.outcome_unknown, F.parent, F.history }
function bring_back(ref, r)
  local mark = r.archived
  if not mark then return end
  local account = mark.account and ',"account":"' .. mark.account .. '"' or ''
  r[F.history] = 'E ' .. r[F.finished_at] .. ' {"event":"deletion.archived","sent":"' .. mark.sent .. '","receipt":' .. mark.n .. account .. '}'
  local set = {}
  for _, name in ipairs(FIELDS) do
    if r[name] then set[#set + 1], set[#set + 2] = name, r[name] end
  end
  redis.call('HSET', record(ref), unpack(set))
  redis.call('ZADD', index_of(r[F.state], r[F.lane], ref), r[F.finished_at], ref)
  if mark.verdict then
    redis.call('HSET', K.erasure .. ref, E.related, 'verify', E.inventory, mark.verdict == 'unverifiable' and 'none' or 'done', E.parts, '[]',
      E.opened_at, r[F.finished_at], E.closed_at, r[F.finished_at], E.verdict, mark.verdict)
  end
  drop_mark(ref, r)
  r.archived = nil
end
end
