"""Half of MetaStudio is away, or the key is blind: lists are answered and show nothing, and nothing is called gone."""

from __future__ import annotations

from tests.acceptance.fleet import BYSTANDER, DEMO_AK, DEMO_PROJECT, DEMO_SK, Fleet, tell
from tests.acceptance.judge import judge
from worker.model.states import Cause, Evidence, State, WaitingFor
from worker.model.target import Target
from worker.simulator import OutageMode

JOBS = [f"job-{n:03d}" for n in range(200)]
SLOWER = {"ERASER_RETRY_SCHEDULE": "0.5s,1s,2s,4s,8s,16s"}
LOST = 10  # jobs whose deletion nobody heard of


def test_a_brownout_under_load_calls_nothing_gone_and_costs_nothing_but_time() -> None:
    with Fleet(settings=SLOWER, simulator=("--latency", "0.05")) as fleet:
        fleet.plant(*JOBS, BYSTANDER)
        for job in JOBS[:LOST]:
            fleet.metastudio.fault("reset", job, deletes=True)
        fleet.start_workers(2)
        fleet.ask(*JOBS)
        fleet.wait_until_settled(50)
        fleet.metastudio.outage(OutageMode.BROWNOUT)
        before = len(fleet.metastudio.calls())
        fleet.wait(lambda: fleet.queries.gate().gate == WaitingFor.OUTAGE, "the gate closes")
        fleet.wait(lambda: len(fleet.metastudio.calls()) >= before + 20, "it is asked for a while")
        gone = {job for job in JOBS if fleet.state(job) is State.GONE}
        assert not gone & set(fleet.metastudio.job_ids())
        fleet.metastudio.outage(None)
        fleet.wait_until_settled(len(JOBS))

        deletions = judge(fleet, JOBS)
        ends = {(d.state, d.evidence) for d in deletions.values()}
        assert ends <= {(State.DELETED, None), (State.GONE, Evidence.AFTER_OUR_CALL)}
        assert {job for job, d in deletions.items() if d.state is State.GONE} == set(JOBS[:LOST])
        assert fleet.metastudio.job_ids() == [BYSTANDER]


def test_a_key_that_loses_sight_of_the_project_makes_dead_letters_that_a_replay_deletes() -> None:
    with Fleet() as fleet:
        fleet.plant(*JOBS, BYSTANDER)
        fleet.start_workers(2)
        fleet.ask(*JOBS[:20])
        fleet.wait_until_settled(20)
        fleet.metastudio.set_credential(DEMO_AK, DEMO_SK, sees_jobs=False)
        fleet.ask(*JOBS[20:], listed=True)
        fleet.wait_until_settled(len(JOBS))
        assert fleet.states() == {State.DELETED: 20, State.DEAD: 180}
        dead = list(fleet.queries.each(State.DEAD, history=True))
        assert {d.cause for d in dead} == {Cause.NOT_VISIBLE}
        assert {d.used for d in dead} == {0}, "looking uses no attempt"
        calls = fleet.metastudio.stats()["by_operation"]
        tell(f"{calls} for {len(dead)} that nobody could see")

        fleet.metastudio.set_credential(DEMO_AK, DEMO_SK)
        fleet.ledger.replay([Target(DEMO_PROJECT, job) for job in JOBS[20:]], why="the key sees again", deadline_s=600)
        fleet.wait_until_settled(len(JOBS))
        deletions = judge(fleet, JOBS)
        assert {d.state for d in deletions.values()} == {State.DELETED}
