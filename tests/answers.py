"""Answers, lists and leases in short form, for the tests of what they mean."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from worker.deletion import Lane
from worker.ledger.moves import Lease, Ref
from worker.meaning import Found, Looked, found
from worker.metastudio.answer import Answer, Body, JobRow, Listing, Silence

REDIS_MS = 1_800_000_000_000.0
JOB = Ref("p", "job-1")


def answer(status: int | None = None, code: str | None = None, **more: Any) -> Answer:
    """An answer as `reading` makes it: an error has a JSON body, everything else an empty one."""
    fields: dict[str, Any] = {
        "status": status,
        "silence": None,
        "code": code,
        "message": "said by MetaStudio" if code else None,
        "request_id": "abc",
        "ms": 50,
        "body": Body.JSON if code else Body.EMPTY,
    }
    return Answer(**fields | more)


def silence(why: Silence) -> Answer:
    return Answer(None, why, None, None, None, 50)


def row(job_id: str = JOB.job_id, state: str = "JOB_SUCCESS", **more: Any) -> JobRow:
    return JobRow(job_id, state, None, None, **more)


def listing(*rows: JobRow, count: int | None = None) -> Listing:
    """A well-formed list; `count` only where it is not the number of rows."""
    return Listing(answer(200, body=Body.JSON), len(rows) if count is None else count, rows)


def no_list(said: Answer) -> Listing:
    return Listing(said, None, None)


def looked(asked: Listing, worth: Found = Found.ABSENT) -> Looked:
    """What a look came to whose first answer is `asked`; `worth` is what control questions make of an absence."""
    what, which = found(asked, JOB.job_id)
    return Looked(asked, worth if what is Found.ABSENT else what, which)


def lease(**changed: Any) -> Lease:
    fresh = Lease(
        ref=JOB,
        token="t0",
        lane=Lane.BULK,
        round=1,
        used=0,
        calls=0,
        later=0,
        refused=0,
        looks=0,
        unknown=False,
        seen=False,
        unseen=0,
        cancel_wanted=False,
        app_user=None,
        probe=None,
        skew_ms=None,
        redis_ms=REDIS_MS,
        taken=100.0,
        expires=160.0,
        deadline_left_s=3600.0,
    )
    return replace(fresh, **changed)
