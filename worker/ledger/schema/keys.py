"""The keys of one account. All begin with `NAMESPACE:{<account>}:`, so that they share a slot of a cluster.

Python says `prefix + Key.RUNNING`, a Lua source `K.running`. Keys outside an account are in `worker.ledger.keys`.
"""

from __future__ import annotations

from enum import StrEnum


class Key(StrEnum):
    """One key, or the beginning of the names of many: its type, what it holds, and what takes it away again.

    Times are ms since 1970 by the ledger's time. A ref is `<project>/<id>` for a job, and
    `<project>/<kind>:<id>` for every other kind.
    """

    type: str
    holds: str
    ends: str
    of: str | None

    def __new__(cls, stored: str, type_: str, holds: str, ends: str, of: str | None = None) -> Key:
        key = str.__new__(cls, stored)
        key._value_ = stored
        key.type, key.holds, key.ends, key.of = type_, holds, ends, of
        return key

    # deletions, and where they stand: each in exactly one of the indexes
    RECORD = "d:", "hash", "the record of one deletion", "forget, with its index", "ref"
    DUE_USER = "due:user", "zset", "pending ones of the user lane; score: when each is due", "moves"
    DUE_BULK = "due:bulk", "zset", "pending ones of the bulk lane; score: when each is due", "moves"
    DUE = "due:", "zset", "pending ones of another kind than jobs: `due:<lane>:<kind>`", "moves", "lane>:<kind"
    RUNNING = "running", "zset", "leased ones; score: the lease's end", "moves"
    HELD = "held", "zset", "those on hold; score: when each would be due", "moves"
    DELETED = "deleted", "zset", "score: when it was finished", "forget"
    GONE = "gone", "zset", "score: when it was finished", "forget"
    DEAD = "dead", "zset", "score: when it died", "replay, discard"
    CANCELLED = "cancelled", "zset", "score: when it was finished", "forget"
    DISCARDED = "discarded", "zset", "score: when it was finished", "forget"
    DISCARDED_USERS = "discarded:users", "zset", "discarded ones that still know their app user; score: when", "forget"
    ARCHIVED = "archived", "hash", "'<project> <state>' -> how many; place: where `forget` looks next", "nothing: one"
    ARCHIVED_MARKS = (
        "archived:",
        "hash",
        "name -> '<flags> <finished (ms)> <took (ms)> <receipt> <round>': what is left of those that were archived",
        "forget",
        "project>/<bucket",
    )

    # what deleted jobs leave behind
    ERASURE = "erasure:", "hash", "what is known of what a job leaves behind: see below", "forget", "ref"
    ERASURES = "erasures", "zset", "refs of jobs that have an open erasure; score: when to look next", "the last look"
    LEFT_BEHIND = "left", "zset", "refs of jobs that left something; score: when that was found", "looks, forget"
    VERDICTS = "verdicts", "hash", "verdict -> how many erasures have it", "nothing: one"
    EXPERIMENTS = "experiments", "zset", "refs of throw-away jobs; score: when each experiment began", "the newest ten"
    EXPERIMENT = "experiment:", "hash", "what one experiment has shown: see lua/_experiment.lua", "with its ref", "job"
    PARTS = "parts", "hash", "state -> how many deletions of other kinds than jobs stand in it", "nothing: one"
    ASSET_JOBS = (
        "assets",
        "hash",
        "id of a part -> the job that named it, or '* <how many>'",
        "forget, with the erasures",
    )

    # dead letters
    GROUPS = "groups", "hash", "group -> JSON [cause, status, code]", "moves, with the last of a group"
    GROUP_LETTERS = "letters:", "zset", "dead letters of a group; score: when each died", "moves", "group"
    GROUP_DEADLINES = "deadlines:", "zset", "the same; score: its deadline", "moves", "group"
    DEATHS = "deaths", "string", "how many deaths there were: each has its number", "nothing: one"

    # the gate: may this account be called now, and when
    GATE = "gate", "hash", "see below", "nothing: one"
    FAILING = "failing", "zset", "refs that failed since a DELETE was answered; score: when", "the next sign of life"
    FAILING_OF = "failing:", "zset", "the same of another family of calls than the jobs'", "the same", "family"
    FORBIDDEN = "forbidden", "zset", "refs whose DELETE was forbidden; score: when", "the next DELETE that is allowed"
    CLOSURES = "closures", "hash", "'<scope> <name>' -> JSON: what is closed, and why", "when it opens"
    PROBES = "probes", "zset", "closures that may be tried; score: when", "when it opens"
    WAITING_EXECUTORS = "waiting", "zset", "executors that wait for a slot; score: when they ask again", "take"
    WAKEUPS_IN_FLIGHT = "wakeups", "zset", "wake-ups on their way; score: when they count as lost", "take"
    WAKEUP_COUNT = "wakeups:count", "string", "how many were ever sent: each has its number", "nothing: one"

    # policies
    POLICY_TEXTS = "texts", "zset", "texts of the policies' file; score: since when each is the text", "the newest 100"
    POLICY_TEXTS_USED = "texts:used", "zset", "the same; score: when a worker last had it", "an hour later"
    POLICY_TEXTS_WANTED = "texts:wanted", "hash", "policy -> '<since> <when>': waits for a worker with its text", "take"
    SLOTS = "slots", "hash", "policy -> JSON: the slot of its schedule that was taken last", "nothing: one a policy"
    RUNS = "runs", "zset", "ids of retention runs; score: when each began", "forget"
    RUN = "run:", "hash", "one run", "forget", "run"
    RUN_OUTCOMES = "outcomes:", "hash", "state -> how many of its deletions ended so", "forget", "run"

    # holds
    HELD_JOBS = "holds:jobs", "hash", "ref -> JSON of its hold: why, by, at, until", "release"
    HELD_USERS = "holds:users", "hash", "app user (HMAC) -> the same, for all jobs of theirs", "release"
    HOLD_ENDS = "holds:ends", "zset", "'j <ref>' or 'u <HMAC>'; score: when the hold ends", "release"
    OWNER_UNKNOWN = "holds:unknown", "zset", "held until it is known whose they are; score: when to ask", "release"
    USER_PROJECTS = (
        "users:projects",
        "set",
        "projects of which a list showed a job of an app user",
        "nothing: one a project",
    )

    # replays
    REPLAYS = "replays", "zset", "ids of replays; score: when each started", "start: the oldest"
    REPLAYS_PLANNED = "replays:planned", "zset", "those that did not begin yet; score: when written", "start, forget"
    REPLAYS_FEEDING = "replays:feeding", "zset", "those that somebody has to drive", "when it has ended"
    REPLAY = "replay:", "hash", "one replay", "start, forget", "replay"
    REPLAY_REFS = "replay-refs:", "list", "the dead letters that it means", "when it has ended", "replay"

    # proof
    RECEIPTS = "receipts", "stream", "what became of each deletion", "trim, once archived"
    RECEIPTS_CHAIN = (
        "receipts:chain",
        "hash",
        "the last number; how far they are sealed, and archived; the number of the holds' record",
        "nothing: one",
    )
    RECEIPTS_REDACTED = (
        "receipts:redacted",
        "zset",
        "entries that stand here instead of in the stream, JSON; score: number",
        "trim",
    )
    RECEIPTS_SEALS = "receipts:seals", "zset", "places of the chain", "trim"
    RECHECK = "recheck", "hash", "the scheduled recheck: who has it, its run, and how far it came", "nothing: one"
    RECHECKS = "rechecks", "zset", "ids of rechecks; score: when each began", "forget"
    RECHECK_RUN = "recheck:", "hash", "one recheck: who, by which key, and its results in numbers", "forget", "recheck"
    CAME_BACK = "back", "zset", "deleted jobs that MetaStudio has again; score: when that was found", "a recheck"
    AUDIT = "audit", "zset", "ids of operators' acts; score: when each began", "forget"
    AUDIT_ENTRY = "audit:", "hash", "one act", "forget", "act"

    # webhooks
    OUTBOX = "outbox", "stream", "events that no delivery was made of yet", "fan_out, forget"
    DELIVERIES = "webhooks", "zset", "'<endpoint>:<id>'; score: when it was made, or replayed", "with its delivery"
    DELIVERIES_ENDED = "webhooks:ended", "zset", "those that ended; score: when", "the oldest of too many, forget"
    DELIVERY = "webhook:", "hash", "one delivery: see lua/_deliveries.lua", "the same", "delivery"
    DELIVERIES_WAITING = (
        "webhooks:waiting:",
        "zset",
        "deliveries to an endpoint that wait; score: since when",
        "the end of each; forget, after 30 days",
        "endpoint",
    )
    DELIVERIES_DUE = ("webhooks:due:", "zset", "the same; score: when to try next", "the same", "endpoint")
    DELIVERIES_DEAD = (
        "webhooks:dead:",
        "zset",
        "deliveries to an endpoint that were given up; score: when",
        "replay_deliveries, forget",
        "endpoint",
    )
    DELIVERY_COUNTS = "webhooks:counts", "hash", "'<endpoint> <what>' -> how many", "nothing: one"

    # what another program spoilt
    DAMAGED = "damaged", "hash", "name of a key, a field or a ref -> JSON: at, why", "eraser damaged discard"
    PUT_ASIDE = "aside:", "any", "what stood there, as it was", "eraser damaged discard", "name"

    # the account
    COUNTERS = "counters", "hash", "what ever happened", "nothing: one"
    ENDS = "ends:", "hash", "'<minute> <state>' -> how many ended so in it", "Redis, two hours later", "hour"
    ACCOUNT = (
        "account",
        "hash",
        "endpoint, since; schema: the highest version that moved here; outbox: events are written down until then",
        "nothing: one",
    )
    PROJECTS = "projects", "hash", "project -> here, leaving, moving or moved", "nothing: one a project"
    CLOCK = "clock", "hash", "what time it is", "nothing: one"
    OPERATIONS = "ops", "hash", "caller -> '<number> <when> <answer>' of its last move", "forget, an hour later"
    IDEMPOTENCY = "idem", "hash", "Idempotency-Key -> '<body> <when> <answer>'", "forget, a day later"
