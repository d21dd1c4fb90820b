-- redact_record: texts of who or why that must not be there go from records of deletions and from acts of the audit.
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

-- The same without any of the texts: as a whole, or within JSON.
local function without(value)
  for _, text in ipairs(options.texts) do
    if value == text then return MARK end
    local quoted, from = cjson.encode(text), 1
    while true do
      local first, last = string.find(value, quoted, from, true)
      if not first then break end
      value = string.sub(value, 1, first - 1) .. cjson.encode(MARK) .. string.sub(value, last + 1)
      from = first + 1
    end
  end
  return value
end

local function redact(key)
  local flat, changed = redis.call('HGETALL', key), 0
  for i = 1, #flat, 2 do
    local value = without(flat[i + 1])
    if value ~= flat[i + 1] then
      redis.call('HSET', key, flat[i], value)
      changed = changed + 1
    end
  end
  return changed
end

local function redact_job(ref, r)
  if not r or r.archived then return 'none' end
  return redact(record(ref)) > 0 and 'redacted' or 'unchanged'
end

return once(function(now)
  for _, id in ipairs(options.acts) do redact(K.audit_entry .. id) end
  return { results = act_on_each(redact_job, now) }
end)
