--include _erasure
-- What a project's move carries from one account to another: all that stands here of one job, but for its receipts.
local function contents(ref)
  local k = record(ref)
  local c = {
    fields = redis.call('HGETALL', k),
    hold = redis.call('HGET', K.held_jobs, ref) or nil,
    hold_ends = redis.call('ZSCORE', K.hold_ends, 'j ' .. ref) or nil,
    unknown = redis.call('ZSCORE', K.owner_unknown, ref) or nil,
    user_kept = redis.call('ZSCORE', K.discarded_users, ref) or nil,
  }
  local left = #c.fields == 0 and archived(ref, true)
  if left then c.mark = left.archived.text end
  if #c.fields > 0 then
    local v = redis.call('HMGET', k, F.state, F.lane)
    c.state, c.lane = v[1], v[2]
    c.score = redis.call('ZSCORE', index_of(v[1], v[2], ref), ref) or nil
  end
  if redis.call('EXISTS', erasure(ref)) == 1 then
    c.erasure = redis.call('HGETALL', erasure(ref))
    c.look = redis.call('ZSCORE', K.erasures, ref) or nil
    c.left = redis.call('ZSCORE', K.left_behind, ref) or nil
    c.named = {}
    local parts, ids = parts_of(ref)
    for i, id in ipairs(ids) do c.named[i] = { id, is_shared(parts[i]) and '*' or ref } end
  end
  return c
end

-- The same contents have the same seal, in whatever order Redis lists the fields.
local function seal_of(c)
  local parts = {}
  for i = 1, #c.fields, 2 do parts[#parts + 1] = c.fields[i] .. '=' .. c.fields[i + 1] end
  for i = 1, #(c.erasure or {}), 2 do parts[#parts + 1] = 'erasure ' .. c.erasure[i] .. '=' .. c.erasure[i + 1] end
  table.sort(parts)
  for _, name in ipairs({ 'hold', 'hold_ends', 'unknown', 'user_kept', 'score', 'look', 'left', 'mark' }) do
    parts[#parts + 1] = name .. '=' .. (c[name] or '')
  end
  return redis.sha1hex(table.concat(parts, '\n'))
end
