"""Failures on request: which call fails, how often, and whether the job is deleted anyway.

| kind | what the client gets | seconds | status |
|---|---|---|---|
| `error` | an error answer | | 500 (502, 503, 504, 400, 401, 403, 404 too) |
| `throttled` | 429 APIGW.0308, Retry-After if `retry_after_s` is given | | |
| `forbidden` | 403 APIGW.0302 | | |
| `html` | an HTML error page | | 502 |
| `redirect` | a 3xx with a Location that leads to another call of ours | | 302 |
| `error_in_200` | 200 whose body is an error | | |
| `garbage` | bytes that are not HTTP, then the end | | |
| `reset` | TCP reset, no byte of an answer | waits before | |
| `close` | an ordinary end of the connection, no byte of an answer | waits before | |
| `hang` | nothing, until the client gives up | | |
| `slow` | the ordinary answer, late | 1 | |
| `drip_headers` | the ordinary answer, byte by byte from the start | 0.1 a byte | |
| `drip_body` | the head at once, the body byte by byte | 0.1 a byte | |
| `truncated` | a body shorter than its Content-Length, then the end | | 200 |

A fault is about calls of training jobs unless `resource` says asset, voice_job or * for all three; `job_id` is then the
id of that resource. With method TOKEN it is IAM's: its own bodies for `error` (500, 503, …) and `throttled` (429
IAM.0012).

`deletes` says whether a DELETE, a PUT or a restore takes effect; left out, it does for `slow`, `drip_headers` and
`drip_body` only.
A deletion takes effect before the failure starts, so a client that gives up early changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from worker.model.errors import UsageError
from worker.simulator.kinds import JOB, KINDS


class FaultKind(StrEnum):
    """How a call fails; the table above describes each."""

    ERROR = "error"
    THROTTLED = "throttled"
    FORBIDDEN = "forbidden"
    HTML = "html"
    REDIRECT = "redirect"
    ERROR_IN_200 = "error_in_200"
    GARBAGE = "garbage"
    RESET = "reset"
    CLOSE = "close"
    HANG = "hang"
    SLOW = "slow"
    DRIP_HEADERS = "drip_headers"
    DRIP_BODY = "drip_body"
    TRUNCATED = "truncated"


ORDINARY = frozenset({FaultKind.SLOW, FaultKind.DRIP_HEADERS, FaultKind.DRIP_BODY})
"""Kinds that carry the ordinary answer."""

_SECONDS = {FaultKind.SLOW: 1.0, FaultKind.DRIP_HEADERS: 0.1, FaultKind.DRIP_BODY: 0.1}
_STATUS = {FaultKind.ERROR: 500, FaultKind.HTML: 502, FaultKind.REDIRECT: 302, FaultKind.TRUNCATED: 200}
TOKEN = "TOKEN"  # noqa: S105 - stands for a method: IAM's one call, which * leaves alone
_METHODS = frozenset({"DELETE", "GET", "*", TOKEN})
_CHANGES = frozenset({"PUT", "POST"})  # a training job has neither
_RESOURCES = frozenset({*KINDS, "*"})


@dataclass(slots=True)
class Fault:
    """One fault. `job_id` and `project` None mean any; `times` None means always."""

    kind: FaultKind
    job_id: str | None = None
    project: str | None = None
    method: str = "DELETE"  # DELETE, GET, PUT, POST, * for all of them, or TOKEN
    times: int | None = 1
    seconds: float | None = None
    status: int | None = None
    retry_after_s: float | None = None
    deletes: bool | None = None
    resource: str = JOB  # job, asset, voice_job, or * for all

    def __post_init__(self) -> None:
        try:
            self.kind = FaultKind(self.kind)
        except ValueError:
            raise UsageError(f"fault kind {self.kind!r}: use one of {', '.join(FaultKind)}") from None
        if self.resource not in _RESOURCES:
            raise UsageError(f"fault resource {self.resource!r}: use {', '.join(KINDS)} or *")
        if self.method not in _METHODS | (frozenset() if self.resource == JOB else _CHANGES):
            more = "" if self.resource == JOB else "PUT, POST, "
            raise UsageError(f"fault method {self.method!r}: use {more}DELETE, GET or *, or TOKEN for IAM")
        if self.times is not None and self.times < 1:
            raise UsageError("fault times: use 1 or more, or null for always")
        if self.seconds is None:
            self.seconds = _SECONDS.get(self.kind, 0.0)
        if self.status is None:
            self.status = _STATUS.get(self.kind)
        if self.deletes is None:
            self.deletes = self.kind in ORDINARY


class Faults:
    """Faults in the order of their requests; those of one job come before those of any job."""

    def __init__(self) -> None:
        self._by_job: dict[str | None, list[Fault]] = {}  # None: of any job

    def add(self, fault: Fault) -> None:
        self._by_job.setdefault(fault.job_id, []).append(fault)

    def clear(self, job_id: str | None = None) -> None:
        """Clear the faults of one job, or all of them."""
        for name in list(self._by_job) if job_id is None else [job_id]:
            self._by_job.pop(name, None)

    def take(self, method: str, project: str, id: str | None, resource: str = JOB) -> Fault | None:
        """The fault for this call; uses it once."""
        for name in dict.fromkeys((id, None)):
            faults = self._by_job.get(name, [])
            for fault in faults:
                if fault.resource in (resource, "*") and fits(fault, method, project):
                    if fault.times is not None:
                        fault.times -= 1
                        if fault.times == 0:
                            faults.remove(fault)
                    return fault
        return None


class OutageMode(StrEnum):
    """The kinds of an outage of the whole service."""

    UNAVAILABLE = "503"  # 503 from the gateway
    ERROR = "500"  # MSS.00000004 for every call
    HANG = "hang"  # takes the request and never answers
    REFUSE = "refuse"  # accepts the connection and resets it, the request unread
    BROWNOUT = "brownout"  # a brownout: every list answers 200 without jobs, everything else 500 MSS.00000004
    CLOSED = "closed"  # stops listening: the client gets ECONNREFUSED; the control API is down, too


@dataclass(frozen=True, slots=True)
class Outage:
    """The service is down until `until` (monotonic; None: until it is lifted), for all or for one kind of call.

    IAM is another service: only method TOKEN stops it, or `closed`, which closes the port of both.
    """

    mode: OutageMode
    method: str = "*"
    project: str | None = None
    until: float | None = None

    def hits(self, method: str, project: str | None, now: float) -> bool:
        return (self.until is None or now < self.until) and fits(self, method, project)


def fits(failure: Fault | Outage, method: str, project: str | None) -> bool:
    """Whether it is about calls of this kind in this project."""
    covered = failure.method == method or (failure.method == "*" and method != TOKEN)
    return covered and failure.project in {None, project}
