"""Random schedules of jobs and of what they leave behind: requests, looks, holds, cancels, replays, faults, what other
people do, and workers that are killed before or after any call.

After every step: no part was acted on before its job's end, without proof that it is this job's own, without a request
for it, while it was on hold, or twice at once. At the end every erasure has a verdict, and the simulator's own state
confirms each word of it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from tests.execution.test_erasure import DAY_S
from tests.execution.test_erasure_crashes import Killed, Mortal, Offline
from tests.execution.test_executor import LEASE_S
from tests.ledger.test_machine import PARTS, SCHEDULES
from tests.support.redis_keys import wrong_keys
from worker.ledger.connection import connect
from worker.ledger.holds import HoldList
from worker.ledger.schema.states import indexes_of
from worker.model.erasure import AssetMode
from worker.model.target import Target
from worker.simulator import DEMO_PROJECT

ELSEWHERE = "0605768a2c8026af2f8bc00f4b0d3b7d"
JOBS = ("a", "b", "c")
USERS = {"a": "user-a", "b": None, "c": None}
JOB = st.sampled_from(JOBS)
LEFTOVERS = ("nothing", "model", "all", "all", "all", "foreign", "shared", "other voice", "no voice", "odd id", "video")
CASCADES = st.sampled_from(["none", "none", "bin", "purge"])
KILL = st.sampled_from([None, None, None, 0, 1, 2, 3, 5, 8])
PHASES = [Phase.generate]
STEPS = 25  # of a schedule
MOST_LOOKS = 40
ERASED = ("purged", "absent_seen_before")


class Erasures(RuleBasedStateMachine):
    """Three jobs, their leftovers, and a worker at a time."""

    client_of_this_run: redis.Redis

    def __init__(self) -> None:
        super().__init__()
        self.client_of_this_run.flushall()
        self.simulator = Offline()
        self.simulator.add_avatar("other")
        self.estate = Mortal(self.simulator, self.client_of_this_run)
        self.estate.trust_the_key()
        self.requested: dict[str, str] = {}  # by job: the widest that was asked for
        self.own: dict[str, str] = {}  # id of a part that is provably one job's own -> that job
        self.sharers: list[str] = []  # jobs that name one asset
        self.known_as_shared = False  # before this step
        self.known_calls = 0  # calls
        self.busy: dict[str, float] = {}  # ref -> until when a dead worker's lease is alive

    @initialize(
        leftovers=st.tuples(*[st.sampled_from(LEFTOVERS)] * 3),
        cascades=st.tuples(*[CASCADES] * 3),
        switches=st.fixed_dictionaries(
            {
                "tombstones": st.booleans(),
                "enforce_deactivation": st.booleans(),
                "force_from_bin": st.booleans(),
                "delete_blocked": st.booleans(),
                "ignore_asset_ids": st.sampled_from([False, False, True]),
                "bin_days": st.sampled_from([7.0, 7.0, None]),
                "purge_after_s": st.sampled_from([0.0, 0.0, 300.0, None]),
                "absent_asset": st.sampled_from(["400", "404"]),
            }
        ),
        mode=st.sampled_from([AssetMode.FORCE, AssetMode.FORCE, AssetMode.BIN]),
    )
    def a_world(self, leftovers: Any, cascades: Any, switches: Any, mode: AssetMode) -> None:
        self.estate.mode = mode
        self.simulator.set_library(**switches)
        for job, what, cascade in zip(JOBS, leftovers, cascades, strict=True):
            self.add(job, what, cascade)

    def add(self, job: str, what: str, cascade: str) -> None:
        how: dict[str, Any] = {"cascade": cascade} | ({"app_user_id": USERS[job]} if USERS[job] else {})
        model, voice, sound = f"asset-{job}", f"voice-{job}", f"voice-asset-{job}"
        match what:
            case "nothing":
                self.simulator.add_job(job, project_id=DEMO_PROJECT, **how)
                return
            case "odd id":
                self.simulator.add_job(job, asset_id="..", project_id=DEMO_PROJECT, **how)
                return
            case "foreign":
                self.simulator.add_avatar(job, voice=False, asset_project=ELSEWHERE, **how)
                return
            case "shared":  # with whatever job has the same kind of leftovers
                self.simulator.add_asset("asset-shared")
                self.simulator.add_job(job, asset_id="asset-shared", project_id=DEMO_PROJECT, **how)
                self.sharers.append(job)
                return
        self.simulator.add_avatar(job, voice=what != "model", **how)
        mine = {model}
        match what:
            case "all":
                mine |= {voice, sound}
            case "other voice":
                self.simulator.add_voice_job(voice, asset_id=sound, dhtms_job_id="somebody")
            case "no voice":
                self.simulator.add_voice_job(voice, asset_id=sound)
            case "video":
                self.simulator.add_asset(model, "VIDEO")
                mine = {voice, sound}
        self.own |= dict.fromkeys(mine, job)

    # -- what happens --------------------------------------------------------------------------------------------------

    @rule(job=JOB, related=st.sampled_from(["leave", "verify", "delete", "delete", "delete"]))
    def request(self, job: str, related: str) -> None:
        known = self.estate.record(job).get("state")
        self.estate.request(job, related=related, app_user=USERS[job])
        if known in (None, "cancelled"):
            self.requested[job] = related
        elif known in ("pending", "running", "held", "dead"):
            self.requested[job] = max(self.requested[job], related, key=("leave", "verify", "delete").index)

    @rule(calls=KILL, when=st.sampled_from(["before", "after"]))
    def work(self, calls: int | None, when: str) -> None:
        how = {"related": "delete", "first_look_s": 60.0, "to_bin": self.estate.mode is AssetMode.BIN}
        self.mortal(lambda: self.estate.work(remote=self.estate.client, **how), calls, when)

    @rule(calls=KILL, when=st.sampled_from(["before", "after"]))
    def look(self, calls: int | None, when: str) -> None:
        self.mortal(lambda: self.estate.observer().work(), calls, when)

    def mortal(self, doing: Callable[[], object], calls: int | None, when: str) -> None:
        self.estate.calls_left, self.estate.when = calls, when
        try:
            doing()
        except Killed:
            alive: Any = self.estate.redis.zrange(self.estate.ledger.prefix + "running", 0, -1, withscores=True)
            self.busy |= {ref.decode(): until for ref, until in alive}
            self.estate.be_another()
        self.estate.calls_left = None

    @rule(seconds=st.sampled_from([1.0, 61.0, 61.0, LEASE_S + 1, 661.0, 661.0, DAY_S, 9 * DAY_S]))
    def time_goes_by(self, seconds: float) -> None:
        self.estate.pass_time(seconds)
        self.simulator.move_library_clock(seconds / DAY_S)
        self.estate.ledger.rescue(alive=["w1"], counts=True)
        HoldList(self.estate.ledger).release_in_time()

    @rule(job=JOB, hours=st.sampled_from([None, 1.0]))
    def hold(self, job: str, hours: float | None) -> None:
        until = None if hours is None else self.estate.ledger.now_ms() + hours * 3_600_000
        HoldList(self.estate.ledger).add([Target(DEMO_PROJECT, job)], why="T-1", by="ops", until_ms=until)

    @rule(job=JOB)
    def remove_a_hold(self, job: str) -> None:
        HoldList(self.estate.ledger).remove([Target(DEMO_PROJECT, job)])

    @rule(there=st.booleans())
    def hold_an_app_user(self, there: bool) -> None:
        holds = HoldList(self.estate.ledger)
        if there:
            holds.add_user("user-a", why="T-1", by="ops")
        else:
            holds.remove_user("user-a")

    @rule(job=JOB)
    def cancel(self, job: str) -> None:
        ((_, result),) = self.estate.ledger.cancel([Target(DEMO_PROJECT, job)], why="T-1", by="ops")
        if result == "parts_kept":
            self.requested[job] = "verify"

    @rule()
    def replay_all(self) -> None:
        dead: Any = self.estate.redis.zrange(self.estate.ledger.prefix + "dead", 0, -1)
        targets = [Target.parse(ref.decode()) for ref in dead]
        if targets:
            self.estate.ledger.replay(targets, why="T-1", deadline_s=30 * DAY_S)

    @rule(
        resource=st.sampled_from(["job", "asset", "asset", "voice_job"]),
        kind=st.sampled_from(["error", "throttled", "reset", "forbidden", "error_in_200"]),
        method=st.sampled_from(["DELETE", "GET", "*"]),
        times=st.sampled_from([1, 2, 4]),
    )
    def fault(self, resource: str, kind: str, method: str, times: int) -> None:
        self.simulator.fault(kind, None, resource=resource, method=method, times=times)

    @rule(job=JOB, what=st.sampled_from(["restore", "block", "unblock"]))
    def other_hands(self, job: str, what: str) -> None:
        """While somebody looks: what happens later nobody can know."""
        asset, states = f"asset-{job}", self.simulator.assets()[DEMO_PROJECT]
        state = states.get(asset)
        if "closed" in self.estate.erasure(job) or state in (None, "DELETED"):
            return
        if what == "restore" and state == "DELETING":
            self.simulator.restore_asset(asset)
        elif what == "block" and state != "BLOCK":
            self.simulator.block_asset(asset)
        elif what == "unblock" and state == "BLOCK":
            self.simulator.unblock_asset(asset)

    # -- what must hold ------------------------------------------------------------------------------------------------

    @invariant()
    def no_part_is_acted_on_that_must_not_be(self) -> None:
        on_hold = HoldList(self.estate.ledger).now()
        new = self.simulator.calls(self.known_calls)
        now, living = self.estate.ledger.now_ms(), set(self.simulator.job_ids())
        for call in new:
            if call["kind"] == "job" or call["operation"] not in ("delete", "update", "restore"):
                continue
            what = f"{call['operation']} of {call['id']}"
            job = self.own.get(call["id"])
            if call["id"] == "asset-shared" and not self.known_as_shared:  # one of its jobs is known so far
                job = next(
                    (one for one in self.sharers if one not in living and self.requested.get(one) == "delete"), None
                )
            assert job is not None, f"{what}: it is nobody's own"
            assert job not in living, f"{what}, and its job is there"
            assert self.requested[job] == "delete", f"{what}: nobody asked for that"
            assert Target(DEMO_PROJECT, job) not in on_hold.refs, f"{what} of a job on hold"
            assert not (USERS[job] and on_hold.users), f"{what} of an app user on hold"
            if call["operation"] == "delete":
                assert now >= self.busy.get(self.ref_of(call["id"]), 0), f"{what}: a lease of it is alive"
        self.known_calls = new[-1]["n"] if new else self.known_calls
        named: Any = self.estate.redis.hget(self.estate.ledger.prefix + "assets", "asset-shared")
        self.known_as_shared = bool(named and named.startswith(b"*"))

    @staticmethod
    def ref_of(id: str) -> str:
        kind = {"asset": "model_asset", "voice": "voice_job"}[id.split("-")[0]]
        return f"{DEMO_PROJECT}/{'voice_asset' if id.startswith('voice-asset') else kind}:{id}"

    @invariant()
    def each_deletion_stands_where_its_record_says(self) -> None:
        client, p = self.estate.redis, self.estate.ledger.prefix
        for key in client.scan_iter(f"{p}d:*"):
            ref = key.decode().removeprefix(f"{p}d:")
            state = client.hget(key, "state").decode()  # type: ignore[union-attr]
            where = [index for index in indexes_of(state) if client.zscore(p + index, ref) is not None]
            assert len(where) == 1, f"{ref} is {state} and stands in {where}"
        assert client.hlen(p + "damaged") == 0

    def teardown(self) -> None:
        """Nothing stands in the way any more: everything ends, and what is said of it is so."""
        self.simulator.clear_faults()
        holds = HoldList(self.estate.ledger)
        holds.remove([Target(DEMO_PROJECT, job) for job in JOBS])
        holds.remove_user("user-a")
        waits = iter([LEASE_S + 1, 61.0, 661.0, 61.0, 661.0, *[DAY_S] * (MOST_LOOKS - 5)])
        while self.estate.redis.zcard(self.estate.ledger.prefix + "erasures"):
            seconds = next(waits, None)
            assert seconds is not None, f"pending for ever: {[self.estate.erasure(job) for job in JOBS]}"
            self.time_goes_by(seconds)
            self.estate.go()
            self.no_part_is_acted_on_that_must_not_be()
        for job in JOBS:
            self.judge(job)
        assert wrong_keys(self.estate.redis) == []
        verdicts: Any = self.estate.redis.hgetall(self.estate.ledger.prefix + "verdicts")
        assert int(verdicts.get(b"pending", 0)) == 0

    def judge(self, job: str) -> None:
        record = self.estate.erasure(job)
        if "closed" not in record:
            assert self.estate.record(job).get("state") not in ("deleted", "gone") or "opened" not in record
            return
        assert not {"user", "au", "owner"} & set(record)
        parts, verdict = json.loads(record["parts"]) if "parts" in record else [], record["verdict"]
        for part in parts:
            self.judge_part(part, record)
        found = {part["evidence"] for part in parts}
        if found & {"refused", "blocked"}:
            assert verdict == "incomplete"
        elif found & {"kept", "foreign", "in_bin"}:
            assert verdict == "partial"
        elif record["inventory"] == "done" and found <= set(ERASED):
            assert verdict == "whole_by_acknowledgement"
        else:
            assert verdict == "unverifiable"

    def judge_part(self, part: dict[str, Any], record: dict[str, str]) -> None:
        project, id, evidence = part["project_id"], part["id"], part["evidence"]
        there = self.simulator.voice_jobs() if part["part"] == "voice_job" else self.simulator.assets()
        state = there.get(project, {}).get(id)
        match evidence:
            case "purged" | "absent_seen_before":
                assert state in (None, "DELETED"), (part, state)
            case "kept" | "refused" | "blocked":
                assert state not in (None, "DELETED"), (part, state)
            case "in_bin":
                assert state == "DELETING", (part, state)
            case "foreign":
                assert project == ELSEWHERE, part
            case "absent_never_seen":
                assert "before" not in part, part
                assert "shown_at" not in part, part
            case _:
                raise AssertionError(f"nobody could say, and somebody could have: {part} {state}")
        if evidence == "kept" and part.get("own") and record["related"] == "delete":
            assert part.get("wanted_at"), f"it was to be deleted: {part}"


@pytest.mark.timeout(0)
@pytest.mark.parametrize("part", range(PARTS))
def test_no_schedule_touches_what_it_must_not_or_ends_without_a_true_verdict(part: int, redis_url: str) -> None:
    class Run(Erasures):
        client_of_this_run = connect(redis_url)

    steps = settings(stateful_step_count=STEPS, deadline=None, suppress_health_check=list(HealthCheck), phases=PHASES)
    run_state_machine_as_test(seed(part)(Run), settings=settings(steps, max_examples=max(1, SCHEDULES // PARTS)))
