"""A worker is frozen beyond its leases and wakes up: the one case in which two calls of a job may overlap."""

from __future__ import annotations

from tests.acceptance.fleet import BYSTANDER, IMPATIENT, Fleet, tell
from tests.acceptance.judge import judge
from worker.model.states import Evidence, State

LEASES = 3
JOBS = [f"job-{n:02d}" for n in range(40)]


def test_a_worker_frozen_for_three_leases_does_nothing_twice_and_its_late_200s_are_recorded() -> None:
    with Fleet(settings=IMPATIENT | {"ERASER_RATE": "40"}, simulator=("--latency", "1")) as fleet:
        fleet.plant(*JOBS, BYSTANDER)
        frozen, _other = fleet.start_workers(2)
        fleet.ask(*JOBS)
        fleet.wait(lambda: len(held_by(fleet, frozen.pid)) >= 2, "the worker has calls under way")
        frozen.freeze()
        held = held_by(fleet, frozen.pid)
        assert held
        since = fleet.queries.now_ms()
        fleet.wait_until_settled(len(JOBS))
        fleet.wait(lambda: fleet.queries.now_ms() - since > LEASES * fleet.ledger.policy.lease, "three leases are over")
        before = {job: fleet.state(job) for job in JOBS}
        tell(f"held by the frozen worker: {sorted(held)}; before it woke: { {job: str(before[job]) for job in held} }")
        assert set(before.values()) <= {State.DELETED, State.GONE}

        frozen.thaw()
        fleet.wait(
            lambda: all(late_200(fleet, job) for job in held if answered(fleet, job)), "the late 200s are recorded"
        )
        deletions = judge(fleet, JOBS, frozen=held)
        for job in JOBS:
            d = deletions[job]
            assert (d.state, d.evidence) in {(State.DELETED, None), (State.GONE, Evidence.AFTER_OUR_CALL)}
        assert len(fleet.metastudio.effects()) == len(JOBS)
        tell(f"after: { {job: str(deletions[job].state) for job in held} }")

        fleet.plant("afterwards")
        fleet.ask("afterwards")
        fleet.wait_until_settled(len(JOBS) + 1)
        assert frozen.alive


def held_by(fleet: Fleet, pid: int) -> set[str]:
    """Jobs that a worker has leased."""
    refs = [ref.decode() for ref in fleet.client.zrange(fleet.ledger.prefix + "running", 0, -1)]
    pipe = fleet.client.pipeline(transaction=False)
    for ref in refs:
        pipe.hget(f"{fleet.ledger.prefix}d:{ref}", "wrk")
    found = zip(refs, pipe.execute(), strict=True)
    return {ref.partition("/")[2] for ref, worker in found if worker and f":{pid}:" in worker.decode()}


def answered(fleet: Fleet, job: str) -> bool:
    """Whether the first DELETE of the job was answered 200 at the server."""
    deletes = [call for call in fleet.metastudio.calls(job_id=job) if call["operation"] == "delete"]
    return bool(deletes) and deletes[0]["status"] == 200


def late_200(fleet: Fleet, job: str) -> bool:
    """Whether the answer that came while the worker was frozen is in the history now."""
    return any(attempt.fields.get("status") == 200 for attempt in fleet.show(job).attempts)
