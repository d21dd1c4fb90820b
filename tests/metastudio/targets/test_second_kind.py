"""Adding a kind is adding its adapter: a made-up one goes every way that a job goes, and nothing else knows of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.execution.test_executor import SCHEDULE, Shop
from tests.support.clips import CLIP, KIND, PACE, Library, known
from tests.support.command import Command
from worker.config.accounts import Account
from worker.config.settings import Settings
from worker.execution.ledger_context import gate_policy
from worker.ledger.deletions import connect
from worker.ledger.holds import HoldList
from worker.ledger.queries import Queries
from worker.ledger.receipts import Receipts
from worker.ledger.types import DeletionRequest
from worker.model.errors import UsageError
from worker.model.states import Lane, State, WaitingFor
from worker.model.target import Target
from worker.receipts.receipt import expand
from worker.simulator import DEMO_PROJECT

CLOSED = ("family", "clip_delete", "outage")
STEPS = SCHEDULE.retry


class Site(Shop):
    """An executor's surroundings, with a library as MetaStudio."""

    library: Library

    def ask(self, *names: str, **claim: Any) -> None:
        refs = [Target.named(DEMO_PROJECT, name) for name in names]
        self.ledger.request(refs, DeletionRequest(**{"lane": Lane.BULK} | claim))

    @property
    def queries(self) -> Queries:
        return Queries(self.redis, "default", rate=10.0)

    def deletion(self, name: str) -> Any:
        return self.queries.show(Target.named(DEMO_PROJECT, name))


@pytest.fixture
def site(redis_url: str) -> Iterator[Site]:
    with known(), Library() as library:
        site = Site(library, connect(redis_url))  # type: ignore[arg-type]
        site.library = library
        site.with_policy(kinds=(PACE,))
        yield site
        site.client.close()
        assert library.most <= 1, "two calls of one target were under way at once"


def test_a_kind_that_no_adapter_describes_is_refused() -> None:
    from worker.metastudio.targets.registry import adapter_of

    with pytest.raises(UsageError, match="known are job"):
        adapter_of("clip")


def test_it_is_requested_called_and_proven(site: Site) -> None:
    site.library.clips = {"c-1": "READY", "c-2": "BROKEN"}
    site.ask("clip:c-1", "clip:c-2")
    assert site.queries.status().parts == {State.PENDING: 2}
    site.work()
    assert site.library.calls[1:] == ["delete clip c-1", "delete clip c-2"], "after the key's own list"
    assert (site.ends("clip:c-1"), site.library.clips) == ("deleted", {})
    receipt, _ = (expand("default", entry) for entry in Receipts(site.redis, "default").each())
    assert (receipt["kind"], receipt["id"], receipt["job_id"], receipt["state"]) == (KIND, "c-1", None, "deleted")


def test_a_failed_call_is_repeated_and_dies_when_its_attempts_are_used_up(site: Site) -> None:
    site.library.clips, site.library.faults = {"c-1": "READY", "other": ""}, {"delete clip": (500, "MSS.00000004")}
    site.ask("clip:c-1")
    site.work()
    assert site.ends("clip:c-1") == "pending retry"
    for step in STEPS:
        site.work(ahead_s=step + 1)
    assert site.ends("clip:c-1") == "dead server_error"
    assert site.library.calls.count("delete clip c-1") == len(STEPS) + 1


def test_a_dead_letter_is_replayed(site: Site) -> None:
    test_a_failed_call_is_repeated_and_dies_when_its_attempts_are_used_up(site)
    site.library.faults = {}
    site.ledger.replay([Target(DEMO_PROJECT, "c-1", KIND)], why="T-1", deadline_s=3600)
    site.work()
    assert (site.ends("clip:c-1"), site.deletion("clip:c-1").round) == ("deleted", 2)


def test_its_states_say_whether_it_waits(site: Site) -> None:
    site.library.clips = {"c-1": "MIXING", "other": ""}
    site.ask("clip:c-1")
    site.work()
    assert site.library.calls[-2:] == ["delete clip c-1", "list clip c-1"]
    assert site.deletion("clip:c-1").waiting_for == WaitingFor.NOT_DELETABLE_YET
    site.library.clips["c-1"] = "READY"
    site.work(ahead_s=SCHEDULE.not_deletable[0] * 1.3)
    assert site.ends("clip:c-1") == "deleted"


def test_an_absence_is_proven_by_control_questions_of_its_own_kind(site: Site) -> None:
    site.library.clips, site.library.jobs = {"other": ""}, {}
    site.ask("clip:gone")
    site.work()
    assert site.ends("clip:gone") == "pending retry", "never seen: it is looked up once more"
    site.work(ahead_s=120)
    assert site.ends("clip:gone") == "gone never_seen"
    assert site.library.calls[1:] == [
        *("delete clip gone", "list clip gone", "list clip", "list clip gone", "list clip"),
        *("list clip", "list clip gone", "list clip"),
    ]


def test_where_only_jobs_are_listed_nothing_proves_that_it_is_gone(site: Site) -> None:
    site.library.jobs = {"job-1": "JOB_SUCCESS"}
    site.ask("clip:gone")
    site.work()
    assert site.record("clip:gone")["unseen"] == "1"


def test_it_is_put_on_hold_and_withdrawn_like_a_job(site: Site) -> None:
    site.library.clips = {"c-1": "READY", "c-2": "READY"}
    site.ask("clip:c-1", "clip:c-2")
    HoldList(site.ledger).add([Target(DEMO_PROJECT, "c-1", KIND)], why="T-1", by="legal")
    assert site.ledger.cancel([Target(DEMO_PROJECT, "c-2", KIND)], why="T-2")[0][1] == "cancelled"
    site.work()
    assert [site.ends(f"clip:c-{n}").split()[0] for n in (1, 2)] == ["held", "cancelled"]
    assert site.library.calls == []


# -- the gate ----------------------------------------------------------------------------------------------------------


def test_its_outage_closes_its_family_and_no_job_waits(site: Site) -> None:
    site.library.clips = {f"c-{n}": "READY" for n in range(8)}
    site.library.jobs = {f"job-{n}": "" for n in range(3)}
    site.library.faults = {"delete clip": (503, "MSS.00000004")}
    site.ask(*(f"clip:c-{n}" for n in range(8)))
    site.work()
    assert site.closures() == [CLOSED]
    site.ask("job-0", "job-1", "job-2")
    site.work()
    assert [site.ends(f"job-{n}") for n in range(3)] == ["deleted"] * 3
    assert site.closures() == [CLOSED], "an answer to a job says nothing about clips"
    site.library.faults = {}
    for _ in range(12):
        site.work(ahead_s=30)
    assert (site.closures(), site.library.clips) == ([], {})


def test_an_outage_of_jobs_is_one_of_its_own(site: Site) -> None:
    site.library.clips = {"c-1": "READY"}
    site.library.jobs = {f"job-{n}": "" for n in range(5)}
    site.library.faults = {"delete job": (503, "MSS.00000004")}
    site.ask(*(f"job-{n}" for n in range(5)))
    site.work()
    assert site.closures() == [("account", "default", "outage")]


def test_a_429_slows_its_family_only(site: Site) -> None:
    site.library.clips, site.library.jobs = {"c-1": "READY"}, {"job-1": ""}
    site.library.faults = {"delete clip": (429, "APIGW.0308")}
    site.ask("clip:c-1", "job-1")
    site.work()
    gate = site.gate()
    assert {name for name in gate if name.startswith("throttle")} == {
        "throttles:clip_delete",
        "throttled_at:clip_delete",
    }
    assert site.ends("job-1") == "deleted"


def test_a_refused_project_is_refused_for_its_kind_only(site: Site) -> None:
    site.library.clips, site.library.jobs = {"c-1": "READY"}, {"job-1": ""}
    site.library.faults = {"delete clip": (403, "APIGW.0302"), "list clip": (403, "APIGW.0302")}
    site.ask("clip:c-1")
    site.work()
    assert site.closures() == [("project", f"{DEMO_PROJECT}/clip", "misconfigured")]
    gate = site.queries.gate()
    assert gate.gate == "ok", "the account is open"
    assert [gate.closes(Target.named(DEMO_PROJECT, name)) for name in ("clip:c-1", "job-1")] == [True, False]
    site.ask("job-1")
    site.work()
    assert site.ends("job-1") == "deleted"
    site.library.faults = {}
    site.work(ahead_s=120)
    site.work(ahead_s=120)
    assert (site.closures(), site.ends("clip:c-1")) == ([], "deleted")


def test_a_refused_key_stops_jobs_too(site: Site) -> None:
    site.library.clips, site.library.jobs = {"c-1": "READY"}, {"job-1": ""}
    site.trust_the_key()
    site.library.faults = {"delete clip": (401, "APIGW.0301")}
    site.ask("clip:c-1")
    site.work()
    site.ask("job-1")
    site.work()
    assert "delete job job-1" not in site.library.calls
    assert [scope for scope, *_ in site.closures()] == ["key"]


@pytest.mark.parametrize(("fast", "slow"), [("job", "clip"), ("clip", "job")])
def test_each_kind_has_its_own_pace_and_neither_waits_for_the_other(site: Site, fast: str, slow: str) -> None:
    intervals = {fast: 20.0, slow: 600_000.0}
    site.with_policy(interval=intervals["job"], kinds=(replace(PACE, interval=intervals["clip"]),))
    names = [f"a-{n}" for n in range(30)]
    site.library.clips, site.library.jobs = dict.fromkeys(names, "READY"), {f"job-{name}": "" for name in names}
    there = {"clip": site.library.clips, "job": site.library.jobs}
    site.ask(*(f"clip:{name}" for name in names), *site.library.jobs)
    site.wire.after_delete = lambda: None if there[fast] else site.stopping.set()
    began = time.monotonic()
    site.work()
    assert not there[fast]
    assert len(site.library.at.get(slow, [])) <= 1, "its next slot is far away"
    early = [n for n, at in enumerate(site.library.at[fast]) if at - began < 0.9 * 0.02 * n]
    assert not early, "a slot that a stall passed over is made up for, and none is used before its time"


def test_its_documented_pace_follows_the_rate_of_the_account() -> None:
    with known():
        settings = Settings.load({})
        fast, slow = (
            gate_policy(settings, Account("default", None, "cn-north-4", rate)).kinds[-1] for rate in (10.0, 5.0)
        )
    assert (fast.interval, slow.interval, fast.family) == (200.0, 400.0, CLIP.deleting.name)


# -- people ------------------------------------------------------------------------------------------------------------


def test_people_name_it_by_its_kind(command: Command) -> None:
    with known():
        requested = command("request", "clip:c-1", "job-1", "--json")
        assert [(one["kind"], one["id"], one["accepted"]) for one in requested.json] == [
            ("clip", "c-1", True),
            ("job", "job-1", True),
        ]
        (shown,) = command("show", "clip:c-1", "--json").json
        assert (shown["kind"], shown["id"], shown["state"], "job_id" in shown) == ("clip", "c-1", "pending", False)
        assert command("cancel", "clip:c-1", "--reason", "T-1").code == 0
        assert command("hold", "add", "clip:c-2", "--reason", "T-1", "--by", "legal-1").code == 0
        assert "clip:c-2" in command("hold", "list").out
    assert command("request", "clip:c-3").code == 1, "a process that does not know clips refuses them"
