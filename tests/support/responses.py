"""Answers, lists and leases in short form, for the tests of what they mean."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from worker.ledger.types import Lease
from worker.metastudio.response import Body, Listing, Response, TransportFailure
from worker.metastudio.targets.avatar_job import JobRow
from worker.model.states import Lane
from worker.model.target import Target
from worker.rules.classify import Lookup, Presence, presence

REDIS_MS = 1_800_000_000_000.0
JOB = Target("p", "job-1")


def response(status: int | None = None, code: str | None = None, **more: Any) -> Response:
    """An answer as `reading` makes it: an error has a JSON body, everything else an empty one."""
    fields: dict[str, Any] = {
        "status": status,
        "failure": None,
        "code": code,
        "message": "said by MetaStudio" if code else None,
        "request_id": "abc",
        "ms": 50,
        "body": Body.JSON if code else Body.EMPTY,
    }
    return Response(**fields | more)


def failure(why: TransportFailure) -> Response:
    return Response(None, why, None, None, None, 50)


def row(job_id: str = JOB.id, state: str = "JOB_SUCCESS", **more: Any) -> JobRow:
    return JobRow(job_id, state, **more)


def listing(*rows: JobRow, count: int | None = None) -> Listing:
    """A well-formed list; `count` only where it is not the number of rows."""
    return Listing(response(200, body=Body.JSON), len(rows) if count is None else count, rows)


def no_list(answer: Response) -> Listing:
    return Listing(answer, None, None)


def looked(listed: Listing, worth: Presence = Presence.ABSENT) -> Lookup:
    """What a look came to whose first answer is `listed`; `worth` is what control questions make of an absence."""
    what, which = presence(listed, JOB.id)
    return Lookup(listed, worth if what is Presence.ABSENT else what, which)


def lease(**changed: Any) -> Lease:
    fresh = Lease(
        ref=JOB,
        token="t0",
        lane=Lane.BULK,
        round=1,
        attempts_used=0,
        calls=0,
        not_deletable_count=0,
        refused_count=0,
        lookup_count=0,
        outcome_unknown=False,
        listed=False,
        empty_lookup_count=0,
        cancel_requested=False,
        app_user=None,
        probe=None,
        skew_ms=None,
        redis_ms=REDIS_MS,
        taken=100.0,
        expires=160.0,
        deadline_left_s=3600.0,
    )
    return replace(fresh, **changed)
