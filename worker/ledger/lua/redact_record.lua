-- redact_record: texts of who or why that must not be there go from records of deletions, from acts of the audit and from
-- what says whose deletion closed a scope.
-- Only from where who and why stand: a text may be any word, also one that says where a deletion stands, or the name of
-- its run or of a field.
--   KEYS[1]  the account's prefix
--   ARGV     caller, operation number, options (JSON: texts (a list of them), acts (ids of entries of the audit), act (see
--            _audit.lua)), then up to 500 refs
--   returns  {"now", "results": one a ref: "redacted", "unchanged" where it has none of them, "none" where there is no
--   record}
--include _clock
--include _account
--include _drains
--include _once
--include _audit
local MARK = 'redacted'  -- what stands in the place of a text: it is a legal one
local WHO = { F.requested_by, F.reason }  -- so named in a record, in claims, in events and in acts of the audit
local unwanted = {}  -- text -> true

-- These take the texts out of a table. Returns whether it had one.
local function from_who(found)
  local had = false
  for _, name in ipairs(type(found) == 'table' and WHO or {}) do
    if unwanted[found[name]] then found[name], had = MARK, true end
  end
  return had
end

local function from_claims(claims)
  local had = false
  for _, claim in ipairs(type(claims) == 'table' and claims or {}) do had = from_who(claim) or had end
  return had
end

local function from_round(before) return from_claims(before[F.claims]) end

local function from_event(event)
  local had = from_who(event)
  return from_claims(event.claims) or had
end

-- The same of JSON. What has none of them stays as it is, to the letter.
local function json_without(text, from)
  local found = table_of(text)
  return found and from(found) and cjson.encode(found) or text
end

local function history_without(lines)
  return (string.gsub(lines, '[^\n]+', function(line)
    local head, json = string.match(line, '^(E %d+ )(.*)$')
    return head and head .. json_without(json, from_event)
  end))
end

local HOW = {
  [F.claims] = function(text) return json_without(text, from_claims) end,
  [F.before_replay] = function(text) return json_without(text, from_round) end,
  [F.history] = history_without,
  [F.past_history] = history_without,
}
for _, name in ipairs(WHO) do HOW[name] = function(text) return unwanted[text] and MARK or text end end

local function redact(key, names)
  local values, changes = redis.call('HMGET', key, unpack(names)), {}
  for i, name in ipairs(names) do
    local value = values[i] and HOW[name](values[i])
    if value ~= values[i] then changes[#changes + 1], changes[#changes + 2] = name, value end
  end
  if #changes > 0 then redis.call('HSET', key, unpack(changes)) end
  return #changes > 0
end

local FIELDS = { F.requested_by, F.reason, F.claims, F.before_replay, F.history, F.past_history }

local function redact_job(ref, r)
  if not r or r.archived then return 'none' end
  return redact(record(ref), FIELDS) and 'redacted' or 'unchanged'
end

-- Whose deletion closed a scope, as status shows it.
local function from_closure(found)
  local had = unwanted[found.by]
  if had then found.by = MARK end
  return had
end

local function redact_closures()
  for _, name in ipairs(redis.call('HKEYS', K.closures)) do
    local stored = redis.call('HGET', K.closures, name)
    local text = json_without(stored, from_closure)
    if text ~= stored then redis.call('HSET', K.closures, name, text) end
  end
end

return once(function(now)
  for _, text in ipairs(options.texts) do unwanted[text] = true end
  for _, id in ipairs(options.acts) do redact(K.audit_entry .. id, WHO) end
  redact_closures()
  return { results = act_on_each(redact_job, now) }
end)
