"""The demo's jobs, what goes wrong with each, and the expected result of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import zip_longest
from types import MappingProxyType
from typing import Any

from worker.model.states import Cause, Evidence, State
from worker.simulator import DEMO_PROJECT, FaultKind

Fault = Mapping[str, Any]

RATE = 50  # DELETEs per second that the simulator allows
RETRY_SCHEDULE = "0.5s,1s,2s,3s"
NOT_DELETABLE_SCHEDULE = "1s"
CALL_TIMEOUT = "2s"
LEASE = "4s"
SHORT_DEADLINE_S = 6.0
OUTAGE_S = 1.0  # at least; it lasts until the gate closes, and then until a probe is answered
RELATED_SCHEDULE = "1s,2s"  # when it is looked for what a job left, and again after our own deletions
BYSTANDERS = 7  # jobs without a request

POLICIES = f"""[policies.failed-trainings]
projects = ["{DEMO_PROJECT}"]
states = ["TRAIN_FAILED"]
older_than = "90d"
grace = "1s"
"""  # the policy of the last step

DELETED = State.DELETED.value
AFTER_OUR_CALL = f"{State.GONE} {Evidence.AFTER_OUR_CALL}"
SEEN_BEFORE = f"{State.GONE} {Evidence.SEEN_BEFORE}"
NEVER_SEEN = f"{State.GONE} {Evidence.NEVER_SEEN}"
CANCELLED = State.CANCELLED.value


class RequestedBy(StrEnum):
    """How and when the deletion is requested."""

    AT_START = "at the start"
    TWICE = "at the start, twice"
    WITHDRAWN = "for tomorrow, then withdrawn"
    BY_A_PERSON = "by a person in mid-run"
    BY_A_PRODUCER = "by a plain Celery producer in mid-run"
    BEFORE_THE_KILL = "just before the worker is killed"
    ONCE_IT_WORKS = "once the worker works, with a short deadline"


class Then(StrEnum):
    """What happens to the job in the simulator once the worker has found it not deletable."""

    NOTHING = "nothing"
    BECOMES_DELETABLE = "its training ends"
    DELETED_ELSEWHERE = "somebody else deletes it"


@dataclass(frozen=True, slots=True)
class Trouble:
    """One kind of failure. `ends` is the expected state, with evidence or cause; `calls` the number of DELETEs."""

    slug: str
    title: str
    jobs: int
    ends: str
    calls: int = 1
    fault: Fault | None = None
    requested: RequestedBy = RequestedBy.AT_START
    exists: bool = True
    state: str = "JOB_SUCCESS"
    then: Then = Then.NOTHING

    @property
    def dies(self) -> bool:
        return self.ends.startswith(State.DEAD)

    @property
    def before_the_outage(self) -> bool:
        """A 503 would be an attempt of unknown outcome, and an absence afterwards no longer "never" or "before"."""
        return self.ends in (NEVER_SEEN, SEEN_BEFORE)


def _fault(kind: FaultKind, **fields: Any) -> Fault:
    return MappingProxyType({"kind": kind.value, **fields})


_ATTEMPTS = RETRY_SCHEDULE.count(",") + 2
_TRAINING = "TRAINING"

TROUBLES: tuple[Trouble, ...] = (
    Trouble("two-500s", "500, 500, then 200", 5, DELETED, 3, _fault(FaultKind.ERROR, times=2)),
    Trouble(
        "always-500", "500, always", 3, f"dead {Cause.SERVER_ERROR}", _ATTEMPTS, _fault(FaultKind.ERROR, times=None)
    ),
    Trouble("html-502", "502, a proxy's HTML page", 3, DELETED, 2, _fault(FaultKind.HTML)),
    Trouble("late-429", "429 without Retry-After", 1, DELETED, 2, _fault(FaultKind.THROTTLED)),
    Trouble("later-429", "429, Retry-After: 1", 1, DELETED, 2, _fault(FaultKind.THROTTLED, retry_after_s=1)),
    Trouble("reset-before", "connection reset, not deleted", 4, DELETED, 2, _fault(FaultKind.RESET)),
    Trouble(
        "reset-after", "deleted, then connection reset", 4, AFTER_OUR_CALL, 2, _fault(FaultKind.RESET, deletes=True)
    ),
    Trouble("cut-short", "200, its body cut short", 3, AFTER_OUR_CALL, 1, _fault(FaultKind.TRUNCATED, deletes=True)),
    Trouble("garbage", "bytes that are not HTTP", 2, DELETED, 2, _fault(FaultKind.GARBAGE)),
    Trouble("hang", "no answer at all", 2, DELETED, 2, _fault(FaultKind.HANG)),
    Trouble("slow", "200 after a second", 3, DELETED, 1, _fault(FaultKind.SLOW, seconds=1.0)),
    Trouble("drip", "deleted, answer never ends", 2, AFTER_OUR_CALL, 2, _fault(FaultKind.DRIP_HEADERS, seconds=0.2)),
    Trouble("redirect", "302 to somewhere else", 2, DELETED, 2, _fault(FaultKind.REDIRECT)),
    Trouble("error-in-200", "200 that carries an error", 2, DELETED, 2, _fault(FaultKind.ERROR_IN_200)),
    Trouble(
        "always-403", "403, for this job only", 2, f"dead {Cause.REFUSED}", 3, _fault(FaultKind.FORBIDDEN, times=None)
    ),
    Trouble("never-was", "never existed", 3, NEVER_SEEN, 1, exists=False),
    Trouble(
        "elsewhere", "listed, then deleted by others", 2, SEEN_BEFORE, 2, state=_TRAINING, then=Then.DELETED_ELSEWHERE
    ),
    Trouble("training", "in training, done a bit later", 3, DELETED, 2, state=_TRAINING, then=Then.BECOMES_DELETABLE),
    Trouble(
        "stuck",
        "in training, forever",
        2,
        f"dead {Cause.DEADLINE}",
        requested=RequestedBy.ONCE_IT_WORKS,
        state=_TRAINING,
    ),
    Trouble("twice", "requested twice", 3, DELETED, requested=RequestedBy.TWICE),
    Trouble("withdrawn", "cancelled in its grace period", 2, CANCELLED, 0, requested=RequestedBy.WITHDRAWN),
    Trouble(
        "killed",
        "deleted while kill -9 hits us",
        2,
        AFTER_OUR_CALL,
        2,
        _fault(FaultKind.SLOW, seconds=1.2),
        requested=RequestedBy.BEFORE_THE_KILL,
    ),
    Trouble("person", "a person waits: user lane", 1, DELETED, requested=RequestedBy.BY_A_PERSON),
    Trouble("producer", "sent by a plain Celery app", 1, DELETED, requested=RequestedBy.BY_A_PRODUCER),
)
PLAIN = Trouble("plain", "nothing goes wrong", 0, DELETED)
FEWEST = sum(trouble.jobs for trouble in TROUBLES) + 1


@dataclass(frozen=True, slots=True)
class Part:
    """One job of the demo and its failure."""

    job_id: str
    trouble: Trouble


def cast(jobs: int) -> list[Part]:
    """All jobs in the order of their requests: failing and plain ones alternate."""
    # One of each, then the second of each, …; but those that have to end before the outage come first.
    numbered = [(not trouble.before_the_outage, n, trouble) for trouble in TROUBLES for n in range(trouble.jobs)]
    troubled = [trouble for _, _, trouble in sorted(numbered, key=lambda each: each[:2])]
    plain = [PLAIN] * (jobs - len(troubled))
    order = [trouble for pair in zip_longest(troubled, plain) for trouble in pair if trouble is not None]
    return [Part(f"job-{n:04d}-{trouble.slug}", trouble) for n, trouble in enumerate(order, 1)]


def requested(parts: list[Part], how: RequestedBy) -> list[Part]:
    return [part for part in parts if part.trouble.requested is how]
