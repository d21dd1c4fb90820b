-- A dead letter's new round, as long as it is the death that was meant.

-- Returns 'pending'; or the state of one that is not dead, 'newer' for one that died after the mark, or 'unknown'.
-- r: lane, why, by, run, deadline (ms from now), mark (a death's number: later ones are not touched)
local function reopen(ref, now, r)
  local v = redis.call('HMGET', record(ref), 'state', 'lane', 'round', 'by', 'dn', 'why', 'wish')
  if not v[1] then return 'unknown' end
  if v[1] ~= 'dead' then return v[1] end
  if r.mark and tonumber(v[5] or '0') > r.mark then return 'newer' end
  local asked = first_claim(ref, v[3])
  -- who replays is in the event, the audit and the run: who asked for the deletion, and why, stays
  open_round(ref, now, { lane = r.lane or v[2], due = now, deadline = now + r.deadline, by = v[4] or r.by, why = v[6] or r.why,
    run = r.run, from = 'dead', lane_before = v[2], round_before = v[3] })
  if v[7] then redis.call('HSET', record(ref), 'wish', v[7], 'look', '1') end  -- withdrawn before it died: only a look
  count('deletion.replayed')
  note_event(ref, now, 'deletion.replayed', { why = r.why, by = r.by, run = r.run, asked = asked }, v[3] or '1')
  return 'pending'
end
