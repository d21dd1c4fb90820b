-- A deletion that has ended and whose receipt is archived leaves Redis (see archive_records.lua): what stays is a mark,
-- enough to merge a second request and to count. The rest stands in the archive's files of days.
--   archived:<project>/<bucket>  hash  <id>, or <kind>:<id> -> '<flags> <finished (ms)> <took (ms)> <receipt's number> <round>',
--                                      and perhaps ' <job>' (that left this part behind), ' @<account>' (whose receipt it is)
--   archived                     hash  '<project> <state>' -> how many; place: '<project>/<bucket> <cursor>', where `forget`
--                                      looks next
-- flags    state: deleted, gone or cancelled; whether a list showed it (l); whether a call may have left whose answer
--          nobody knows (u); whether a DELETE was ever sent: yes, no or perhaps; verdict of its erasure: whole, by
--          acknowledgement, unverifiable ('v'), or none; '-': no. took: from the first request to the end.
-- A project has so many buckets that 2,000 deletions share their keys' cost, and so few that 10,000,000 can be gone through.
local archived, put_aside
do
spoilt.buckets = 1021  -- a prime, so that ids that count up spread; also in worker/ledger/archived.py

-- The bucket of a deletion, and its name there: see worker/ledger/archived.py.
function spoilt.place_of(ref)
  local project, name = string.match(ref, '^([^/]+)/(.+)$')
  if not project then return nil end
  local bucket = 0
  for i = 1, #name do bucket = (bucket * 33 + string.byte(name, i)) % spoilt.buckets end
  return K.archived_marks .. project .. '/' .. bucket, name
end

local STATES = { d = 'deleted', g = 'gone', c = 'cancelled' }

function spoilt.count_mark(ref, state, by)
  local field = string.match(ref, '^[^/]+') .. ' ' .. state
  if redis.call('HINCRBY', K.archived, field, by) <= 0 then redis.call('HDEL', K.archived, field) end
end

-- What a mark says, like a record; nil: it makes no sense.
function spoilt.read_mark(ref, text)
  local state, listed, unknown, sent, verdict, at, took, n, round, job, account =
    string.match(text, '^([dgc])([l-])([u-])([ynp])([wav-]) (%d+) (%d+) (%d+) (%d+) ?([^ @]*) ?@?([^ @]*)$')
  if not state then return nil end
  local began = string.format('%.0f', math.max(0, at - took))
  return { [F.state] = STATES[state], [F.lane] = 'bulk', [F.requested_at] = began,
    [F.deadline] = at, [F.finished_at] = at, [F.round] = round ~= '1' and round or nil, [F.listed] = listed == 'l' and '1' or nil,
    [F.outcome_unknown] = unknown == 'u' and '1' or nil, [F.parent] = job ~= '' and string.match(ref, '^[^/]+/') .. job or nil,
    archived = { text = text, n = n, sent = ({ y = 'yes', n = 'no', p = 'perhaps' })[sent], account = account ~= '' and account or nil,
      verdict = ({ w = 'whole', a = 'whole_by_acknowledgement', v = 'unverifiable' })[verdict] } }
end

-- What is known of one that has left: fields of a record, and `archived`: text (the mark), n (its receipt's number), sent,
-- verdict, account (whose receipt it is). nil: it has not. peek: nothing is written, whatever stands there.
function archived(ref, peek)
  local key, name = spoilt.place_of(ref)
  local text = key and (peek and redis.pcall or redis.call)('HGET', key, name)
  if type(text) ~= 'string' then return nil end
  local r = spoilt.read_mark(ref, text)
  if r or peek then return r end
  redis.call('HDEL', key, name)
  local state = STATES[string.sub(text, 1, 1)]
  if state then
    spoilt.count_mark(ref, state, -1)
    count_part(ref, state)
  end
  if redis.call('EXISTS', record(ref)) == 1 then  -- see forget_other_mark()
    redis.call('HINCRBY', K.counters, 'deletion.damaged', 1)
    return damage(ref .. ' mark', 'what is left of it in Redis cannot be', text)
  end
  redis.call('SET', K.put_aside .. ref, text)
  return put_aside(ref, 'what is left of it in Redis cannot be', text)
end
end
