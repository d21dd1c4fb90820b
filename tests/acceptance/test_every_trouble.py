"""Every fault that the simulator knows, all at once: each job has its own right end, attempts and request ids."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from tests.acceptance.fleet import ATTEMPTS, QUICK_KEYS, Fleet
from tests.acceptance.judge import every_call_is_recorded, judge
from worker.ledger.records import Deletion
from worker.model.states import State, WaitingFor
from worker.simulator import FaultKind

Fault = Mapping[str, Any]


@dataclass(frozen=True)
class Trouble:
    """`calls`: status or silence, and outcome of each DELETE. `end`: the state, with the evidence or the cause."""

    name: str
    calls: tuple[str, ...]
    end: str = "deleted"
    faults: tuple[Fault, ...] = ()
    job: Mapping[str, Any] | None = None  # None: it does not exist
    deadline_s: float = 600.0


def fault(kind: FaultKind, **fields: Any) -> Fault:
    return {"kind": kind, **fields}


EXISTS: Mapping[str, Any] = {"state": "JOB_SUCCESS"}
TRAINING: Mapping[str, Any] = {"state": "TRAINING"}
NOT_YET = "400 not_deletable_yet"
TRAINED_SOON = "trained-soon"  # its training ends once we have seen it in training
DEADLINES = {"ERASER_CONNECT_TIMEOUT": "2s", "ERASER_CALL_TIMEOUT": "4s", "ERASER_LEASE": "20s"}
GOOD_ONES = 10  # beside each trouble
OK = "200 deleted"
AFTER_OUR_CALL = "gone after_our_call"


def troubled(name: str, *calls: str, faults: tuple[Fault, ...], end: str = "deleted") -> Trouble:
    return Trouble(name, calls, end, faults, EXISTS)


TROUBLES = (
    # asked for first: its time begins then, and it must be seen before it is over
    Trouble("trains-for-ever", (NOT_YET,), "dead deadline", job=TRAINING, deadline_s=12.0),
    Trouble("plain", (OK,), job=EXISTS),
    troubled("two-500s", "500 failed", "500 failed", OK, faults=(fault(FaultKind.ERROR, times=2),)),
    troubled("html-502", "502 failed", OK, faults=(fault(FaultKind.HTML),)),
    troubled("gateway-503", "503 failed", OK, faults=(fault(FaultKind.ERROR, status=503),)),
    troubled("gateway-504", "504 failed", OK, faults=(fault(FaultKind.ERROR, status=504),)),
    troubled(
        "deleted-504",
        "504 failed",
        "400 gone",
        end=AFTER_OUR_CALL,
        faults=(fault(FaultKind.ERROR, status=504, deletes=True),),
    ),
    troubled("wrong-404", "404 refused", OK, faults=(fault(FaultKind.ERROR, status=404),)),
    troubled("no-key-401", "401 credentials", OK, faults=(fault(FaultKind.ERROR, status=401),)),
    troubled("late-429", "429 throttled", OK, faults=(fault(FaultKind.THROTTLED),)),
    troubled("later-429", "429 throttled", OK, faults=(fault(FaultKind.THROTTLED, retry_after_s=1),)),
    troubled("reset", "reset failed", OK, faults=(fault(FaultKind.RESET),)),
    troubled(
        "deleted-reset", "reset failed", "400 gone", end=AFTER_OUR_CALL, faults=(fault(FaultKind.RESET, deletes=True),)
    ),
    troubled("close", "reset failed", OK, faults=(fault(FaultKind.CLOSE),)),
    troubled(
        "deleted-close", "reset failed", "400 gone", end=AFTER_OUR_CALL, faults=(fault(FaultKind.CLOSE, deletes=True),)
    ),
    troubled("garbage", "garbled failed", OK, faults=(fault(FaultKind.GARBAGE),)),
    troubled("hang", "timeout failed", OK, faults=(fault(FaultKind.HANG),)),
    troubled(
        "deleted-hang", "timeout failed", "400 gone", end=AFTER_OUR_CALL, faults=(fault(FaultKind.HANG, deletes=True),)
    ),
    troubled("slow", OK, faults=(fault(FaultKind.SLOW, seconds=0.5),)),
    troubled(
        "too-slow", "timeout failed", "400 gone", end=AFTER_OUR_CALL, faults=(fault(FaultKind.SLOW, seconds=12.0),)
    ),
    troubled(
        "drip-head",
        "timeout failed",
        "400 gone",
        end=AFTER_OUR_CALL,
        faults=(fault(FaultKind.DRIP_HEADERS, seconds=1.0),),
    ),
    troubled("drip-body", "200 gone", end=AFTER_OUR_CALL, faults=(fault(FaultKind.DRIP_BODY, seconds=1.0),)),
    troubled("cut-short", "200 gone", end=AFTER_OUR_CALL, faults=(fault(FaultKind.TRUNCATED, deletes=True),)),
    troubled("redirect", "302 failed", OK, faults=(fault(FaultKind.REDIRECT),)),
    troubled("error-in-200", "200 failed", OK, faults=(fault(FaultKind.ERROR_IN_200),)),
    troubled(
        "deleted-error-in-200", "200 gone", end=AFTER_OUR_CALL, faults=(fault(FaultKind.ERROR_IN_200, deletes=True),)
    ),
    troubled(
        "ever-500", *["500 failed"] * ATTEMPTS, end="dead server_error", faults=(fault(FaultKind.ERROR, times=None),)
    ),
    troubled("ever-403", *["403 refused"] * 3, end="dead refused", faults=(fault(FaultKind.FORBIDDEN, times=None),)),
    troubled(
        "ever-400", *["400 refused"] * 3, end="dead refused", faults=(fault(FaultKind.ERROR, status=400, times=None),)
    ),
    Trouble("never-was", ("400 absent",), "gone never_seen"),
    Trouble(
        "never-was-and-the-list-fails", ("400 unknown",), "gone never_seen", (fault(FaultKind.ERROR, method="GET"),)
    ),
    Trouble(TRAINED_SOON, (NOT_YET, OK), job=TRAINING),
)


@pytest.mark.parametrize("absent", ["400", "404"])
def test_each_of_all_faults_at_once_has_its_right_end(absent: str) -> None:
    with Fleet(settings=DEADLINES, application=QUICK_KEYS) as fleet:
        fleet.metastudio.set_answers(absent=absent)
        fleet.plant(*(f"bystander-{n}" for n in range(3)))
        for trouble in TROUBLES:
            if trouble.job is not None:
                fleet.metastudio.add_job(trouble.name, **trouble.job)
            for each in trouble.faults:
                fleet.metastudio.fault(job_id=trouble.name, **each)
        fleet.start_workers(2)
        requested = []
        for n, trouble in enumerate(TROUBLES):  # good ones among them: this is no outage
            good = fleet.plant(*(f"good-{n}-{m}" for m in range(GOOD_ONES)))
            fleet.ask(trouble.name, deadline_s=trouble.deadline_s)
            fleet.ask(*good)
            requested += [trouble.name, *good]
        fleet.wait(
            lambda: fleet.show(TRAINED_SOON).waiting_for == WaitingFor.NOT_DELETABLE_YET, "it is seen in training"
        )
        fleet.metastudio.move_job(TRAINED_SOON, "JOB_SUCCESS")
        fleet.wait_until_settled(len(requested))

        deletions = judge(fleet, requested)
        every_call_is_recorded(fleet, deletions)
        found = {trouble.name: ending(deletions[trouble.name]) for trouble in TROUBLES}
        assert found == {trouble.name: (trouble.end, expected_calls(trouble, absent)) for trouble in TROUBLES}
        assert all(d.state is State.DELETED for job, d in deletions.items() if job.startswith("good-"))
        assert len(fleet.metastudio.job_ids()) == 3 + sum(t.end.startswith(State.DEAD) for t in TROUBLES)


def ending(deletion: Deletion) -> tuple[str, list[str]]:
    """How it ended, and the answer and outcome of each attempt; how often it was not deletable yet does not matter."""
    calls = [f"{a.fields.get('status') or a.fields.get('failure')} {a.fields['outcome']}" for a in deletion.attempts]
    short = [call for call, before in zip(calls, [None, *calls], strict=False) if call != NOT_YET or call != before]
    return " ".join(filter(None, (deletion.state, deletion.evidence or deletion.cause))), short


def expected_calls(trouble: Trouble, absent: str) -> list[str]:
    """What is expected where a job that does not exist is answered `absent`."""
    words = ("gone", "absent", "unknown")
    return [f"{absent} {call[4:]}" if call in [f"400 {word}" for word in words] else call for call in trouble.calls]
