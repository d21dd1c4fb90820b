-- Policy texts: the texts of the policies' file that processes of this account act on, so that no worker judges by an
-- older one. A policy's claim says since when the text that asked was in force (`policy_text`).
--   texts         zset   a text's id -> since when it is in force (ms): when its file was written, by Redis's clock, or
--                        when a process saw the file change to it. Of two of the same moment the one that came later
--                        is the newer one.
--   texts:used    zset   a text's id -> when a worker last came with it (ms)
--   texts:wanted  hash   policy -> '<since> <ms>': deletions of it were postponed then for want of such a text; a hint,
--                        which forget.lua takes away
-- text: {id, at, changed (the process saw the file change to it)}, or nil: it has no file, so it judges nothing.
local MOST_TEXTS = 100
local CURRENT = 3600000        -- ms: no worker with an older text judges while a newer one was seen so lately
local LATELY = 60000           -- ms: whoever was seen so lately will come again
local NOTED_EVERY = 10000       -- ms
local ASIDE, AGAIN = 60000, 600000  -- ms: until it is tried again, the first time and later

-- Since when the text is in force; it is written down when it is new.
local function text_since(now, text)
  local texts = K.policy_texts
  local since, at = number(redis.call('ZSCORE', texts, text.id)), tonumber(ms(math.min(text.at, now)))
  if since and (not text.changed or since >= at) then return since end
  while redis.call('ZCOUNT', texts, at, at) > 0 do at = at + 1 end
  redis.call('ZADD', texts, at, text.id)
  redis.call('ZREMRANGEBYRANK', texts, 0, -MOST_TEXTS - 1)
  return at
end

local function note_use(now, text)
  local used = K.policy_texts_used
  if now - number(redis.call('ZSCORE', used, text.id), 0) < NOTED_EVERY then return end
  redis.call('ZREMRANGEBYSCORE', used, '-inf', ms(now - CURRENT))
  redis.call('ZADD', used, ms(now), text.id)
  text_since(now, text)
end

local function newest_used(now, within)
  local newest = -1
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', K.policy_texts_used, ms(now - within), '+inf')) do
    newest = math.max(newest, number(redis.call('ZSCORE', K.policy_texts, id), -1))
  end
  return newest
end

-- The text that a worker needs to judge policies that asked by a text of that time: none that is older than it, or than
-- what other workers have.
local function text_needed(now, text_at) return math.max(text_at, newest_used(now, CURRENT)) end

local function may_judge(now, text, text_at)
  return text ~= nil and text_since(now, text) >= text_needed(now, text_at)
end

-- The worker that came for it may not judge it. It stays where it is for one that may, if one was seen lately; if not,
-- it is due again later, so that it stops no other. Returns whether it stayed.
local function leave_to_others(ref, r, now, names, text_at)
  if newest_used(now, LATELY) >= text_needed(now, text_at) then return true end
  local k, wanted = record(ref), K.policy_texts_wanted
  local again = r[F.waiting_for] == 'policies'
  redis.call('HSET', k, F.waiting_for, 'policies')
  redis.call('ZADD', index_of('pending', r[F.lane], ref), ms(now + (again and AGAIN or ASIDE)), ref)
  for _, name in ipairs(names) do redis.call('HSET', wanted, name, ms(text_at) .. ' ' .. ms(now)) end
  return false
end
