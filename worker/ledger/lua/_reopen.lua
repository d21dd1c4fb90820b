-- A dead letter's new round, as long as it is the death that was meant.

-- Returns 'pending'; or the state of one that is not dead, 'newer' for one that died after the mark, or 'unknown'.
-- terms: lane, why, by, run, deadline (ms from now), mark (a death's number: later ones are not touched)
-- The event, the audit and the replay say who replays: whoever asked for the deletion, and why, stays.
local function reopen(ref, r, now, terms)
  if not r then return 'unknown' end
  if r[F.state] ~= 'dead' then return r[F.state] end
  if terms.mark and tonumber(r[F.death_number] or '0') > terms.mark then return 'newer' end
  open_round(ref, r, now, renew(claims_of(ref, r), now, now + terms.deadline, terms.lane))
  if r[F.cancel_requested] then  -- withdrawn before it died: only a look
    redis.call('HSET', record(ref), F.cancel_requested, r[F.cancel_requested], F.lookup_count, '1')
  end
  count('deletion.replayed')
  note_event(ref, r, now, 'deletion.replayed', { why = terms.why, by = terms.by, run = terms.run })
  return 'pending'
end
