-- A dead letter's new round, as long as it is the death that was meant.

-- Returns 'pending'; or the state of one that is not dead, 'newer' for one that died after the mark, or 'unknown'.
-- r: lane, why, by, run, deadline (ms from now), mark (a death's number: later ones are not touched)
-- Who replays is in the event, the audit and the replay: whoever asked for the deletion, and why, stays.
local function reopen(ref, now, r)
  local v = redis.call('HMGET', record(ref), F.state, F.round, F.death_number, F.cancel_requested)
  if not v[1] then return 'unknown' end
  if v[1] ~= 'dead' then return v[1] end
  if r.mark and tonumber(v[3] or '0') > r.mark then return 'newer' end
  open_round(ref, now, 'dead', renew(claims_of(ref), now, now + r.deadline, r.lane))
  if v[4] then redis.call('HSET', record(ref), F.cancel_requested, v[4], F.lookup_count, '1') end  -- withdrawn before it died: only a look
  count('deletion.replayed')
  note_event(ref, now, 'deletion.replayed', { why = r.why, by = r.by, run = r.run }, v[2] or '1')
  return 'pending'
end
