-- Names of one account's keys. KEYS[1] is their common prefix `NAMESPACE:{<account>}:`; nothing outside it is touched.
--
--   d:<project>/<job>   hash    the record of one deletion; <project>/<job> is its ref
--   due:user, due:bulk  zset    pending, by lane; score: when it is due
--   running             zset    leased; score: the lease's end
--   held                zset    on hold; score: when it would be due
--   deleted gone dead cancelled discarded    zset    score: when it was settled
--   counters            hash    what ever happened (see _counters.lua)
--   ends:<hour>         hash    what ended in each minute of the last hours (see _counters.lua)
--   groups              hash    what dead letters died of (see _groups.lua)
--   letters:<group>     zset    its dead letters; score: when each died
--   deadlines:<group>   zset    the same; score: its deadline
--   discarded:users     zset    discarded ones that still know their app user; score: when they were discarded
--   gate                hash    may this account be called now, and when
--   left                hash    when the last second's calls left (see _gate.lua)
--   failing, forbidden  zset    refs that failed, or were forbidden, since the last sign of life; score: when
--   closures            hash    what is closed, and why (see _closures.lua)
--   probes              zset    of it; score: when somebody may try
--   waiting             zset    hands that wait for a slot; score: when they ask again
--   rung                zset    doorbells on their way; score: when they count as lost
--   bells               string  how many were ever rung: each has its number
--   books               zset    texts of the policies' file (see _books.lua)
--   books:seen          zset    the same; score: when a worker last came with it
--   books:wanted        hash    policies whose deletions wait for a worker with their text
--   receipts            stream  what became of each deletion (see _receipt.lua)
--   receipts:book       hash    n: the last number given; how far they are sealed, and archived (see seal.lua)
--   receipts:seals      zset    places of the chain (see seal.lua)
--   audit               zset    ids of operators' acts; score: when each began (see _audit.lua)
--   audit:<act>         hash    one act
--   holds:jobs          hash    ref: its hold (see hold.lua)
--   holds:users         hash    app user (HMAC): the hold on all jobs of theirs
--   holds:ends          zset    holds with an end, and those of users that were lifted; score: when
--   holds:unknown       zset    held until it is known whose job it is; score: when it would be due
--   slots               hash    policy: the slot of its schedule that was taken last (see claim.lua)
--   runs                zset    ids of retention runs; score: when each began
--   run:<run>           hash    one run (see runs.py)
--   outcomes:<run>      hash    how its deletions ended
--   replays             zset    ids of replays; score: when each started (see _replays.lua)
--   replays:planned     zset    ids of those that did not begin yet; score: when they were written down
--   replays:feeding     zset    ids of those that somebody has to drive
--   replay:<replay>     hash    one replay
--   replay:<replay>:refs list   the letters that it means
--   users:projects      set     projects of which a list showed a job that belongs to an app user
--   deaths              string  how many deaths there were; each has its number, the record's field `dn`
--   projects            hash    may anything of a project be done here (see _places.lua)
--   account             hash    its address at MetaStudio: endpoint, since (see _once.lua)
--   damaged             hash    what other hands spoilt (see _guard.lua)
--   aside:<name>        hash    what was put aside of it, of whatever kind it was
--   ops                 hash    each caller's last operation and its answer (see _once.lua)
--   clock               hash    what time it is (see _clock.lua)
--   idem                hash    answers to requests with an Idempotency-Key (see remember.lua)
--include _guard
local P = KEYS[1]

-- Whole milliseconds, cut: what is due now must not come out as due in half a millisecond.
local function ms(x) return string.format('%.0f', math.floor(x)) end

-- The fields of a lease: token, worker, when it was taken, when it was due before, and `unsent`: it looks first, and no
-- call has left under it (see confirm.lua).
local LEASE = { 'tok', 'wrk', 'tk', 'was', 'unsent' }

local function record(ref) return P .. 'd:' .. ref end

-- A deletion stands in exactly one index, and this is it.
local function index_of(state, lane)
  if state == 'pending' then return P .. 'due:' .. lane end
  return P .. state
end
--include _damage
--within
