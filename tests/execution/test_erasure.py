"""What a deleted job leaves behind: found before its DELETE, looked for after it, deleted where that is wanted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.execution.test_executor import Shop
from tests.support.cut_off import bring_back
from worker.execution.observer import Observer
from worker.ledger.deletions import connect
from worker.ledger.queries import Queries
from worker.ledger.receipts import Receipts
from worker.ledger.rechecks import record
from worker.ledger.types import KindPace
from worker.lookups.examiner import Examiner
from worker.lookups.lookups import Lookups
from worker.lookups.sightings import View
from worker.model.erasure import AssetMode
from worker.model.states import State
from worker.model.target import Target
from worker.simulator import DEMO_PROJECT, Simulator

SCHEDULE = (60.0, 600.0, 86_400.0)
DAY_S = 86_400.0
PACES = (
    KindPace("model_asset", "asset_delete", 1.0, "asset_read", 1.0),
    KindPace("voice_asset", "asset_delete", 1.0, "asset_read", 1.0),
    KindPace("voice_job", "voice_delete", 1.0, "voice_read", 1.0),
)
JOB = "job-1"


class Estate(Shop):
    """A shop whose jobs leave something behind."""

    related = "verify"
    mode = AssetMode.FORCE

    def __post_init__(self) -> None:
        super().__post_init__()
        self.with_policy(kinds=PACES)

    def go(self, **changed: Any) -> None:
        """Everything that is due is called for and looked at."""
        for _ in range(20):
            how = {"related": self.related, "first_look_s": SCHEDULE[0], "to_bin": self.mode is AssetMode.BIN}
            self.work(remote=self.client, **how | changed)
            if not self.observer().work():
                return

    def delete(self, *jobs: str, **claim: Any) -> None:
        """Jobs are asked for, and everything that is due is done."""
        self.request(*jobs, **claim)
        self.go()

    def observer(self) -> Observer:
        def lookups(project_id: str, kind: str, app_user: str | None) -> Lookups:
            view = View(self.key.fingerprint(), project_id, app_user, kind)
            return Lookups(self.client, self.ledger, self.sightings, view, pause=self.stopping.wait)

        examiner = Examiner(self.client, self.ledger, self.stopping.wait)
        return Observer(self.ledger, lookups, SCHEDULE, self.mode, self.stopping.is_set, 30 * DAY_S, examiner)

    def later(self, *seconds: float) -> None:
        for each in seconds:
            self.pass_time(each)
            self.simulator.move_library_clock(each / DAY_S)
            self.go()

    def to_the_end(self) -> None:
        """All looks of the schedule, and those that a deletion of ours begins."""
        self.later(66, 600, DAY_S, 66, 600, DAY_S)

    def erasure(self, job: str = JOB) -> dict[str, str]:
        raw: Any = self.redis.hgetall(f"{self.ledger.prefix}erasure:{DEMO_PROJECT}/{job}")
        return {name.decode(): value.decode() for name, value in raw.items()}

    def verdict(self, job: str = JOB) -> str:
        record = self.erasure(job)
        return record.get("verdict", "none") + (" closed" if "closed" in record else "")

    def parts(self, job: str = JOB) -> dict[str, str]:
        """What is known of each part: evidence, and who removed it."""
        found = json.loads(self.erasure(job).get("parts", "[]"))
        return {p["part"]: " ".join(filter(None, (p["evidence"], p.get("removed_by")))) for p in found}

    def receipts(self) -> list[dict[str, str]]:
        return [entry.fields for entry in Receipts(self.redis, "default").each()]


@pytest.fixture
def estate(redis_url: str) -> Iterator[Estate]:
    with Simulator() as simulator:
        simulator.add_avatar("other", voice=True)  # there are always others
        estate = Estate(simulator, connect(redis_url))
        estate.trust_the_key()
        yield estate
        bring_back(estate.redis)
        estate.client.close()


def test_what_stays_is_found_and_said(estate: Estate) -> None:
    estate.simulator.add_avatar(JOB)
    estate.delete(JOB)
    assert estate.ends(JOB) == "deleted"
    assert estate.verdict() == "pending"
    estate.to_the_end()
    assert estate.parts() == {"model_asset": "kept", "voice_job": "kept", "voice_asset": "kept"}
    assert estate.verdict() == "partial closed"
    assert [r["er"] for r in estate.receipts()] == ["pending", "partial"]


@pytest.mark.parametrize("cascade", ["purge", "bin"])
def test_what_the_service_takes_along_is_its_own_doing(estate: Estate, cascade: str) -> None:
    estate.simulator.add_avatar(JOB, cascade=cascade, voice=False)
    estate.delete(JOB)
    estate.to_the_end()
    if cascade == "bin":
        assert estate.verdict() == "pending"
        assert estate.parts() == {"model_asset": "in_bin service"}
        estate.later(8 * DAY_S, DAY_S)
    assert estate.parts()["model_asset"] in ("purged service", "absent_seen_before service")
    assert estate.verdict() == "whole_by_acknowledgement closed"


def test_what_is_to_go_is_deleted_in_its_order_and_looked_for_again(estate: Estate) -> None:
    estate.related = "delete"
    estate.simulator.add_avatar(JOB)
    estate.delete(JOB)
    estate.to_the_end()
    assert estate.verdict() == "whole_by_acknowledgement closed", estate.erasure()
    assert estate.parts() == {
        "model_asset": "purged us",
        "voice_job": "absent_seen_before us",
        "voice_asset": "purged us",
    }
    assert list(estate.simulator.assets()[DEMO_PROJECT].values()).count("ACTIVED") == 2, "the other job's own"
    status = Queries(estate.redis, "default", rate=10.0).status()
    assert (status.states[State.DELETED], status.parts) == (1, {State.DELETED: 3}), "jobs and parts are counted apart"


def test_a_job_without_anything_is_whole_at_the_first_look(estate: Estate) -> None:
    estate.simulator.add_job(JOB)
    estate.delete(JOB)
    estate.later(66)
    assert estate.verdict() == "whole_by_acknowledgement closed"


def test_an_executor_with_nothing_to_do_says_that_somebody_is_to_look(estate: Estate) -> None:
    estate.simulator.add_avatar(JOB)
    estate.request(JOB)
    assert not estate.work(remote=estate.client, related="verify").erasures
    estate.pass_time(66)
    assert estate.work(remote=estate.client, related="verify").erasures


def test_leave_asks_nothing(estate: Estate) -> None:
    estate.simulator.add_avatar(JOB)
    estate.delete(JOB, related="leave")
    assert estate.calls() == [f"delete {JOB}"]
    assert estate.erasure() == {}


def test_a_person_does_not_stand_behind_a_sweep_for_the_slot_of_a_voice(estate: Estate) -> None:
    estate.with_policy(kinds=tuple(replace(pace, look_interval=10_000.0) for pace in PACES))
    for _ in range(10):
        estate.ledger.reserve_lookup(kind="voice_job", patience_s=1000)
    assert estate.ledger.reserve_lookup(kind="voice_job", patience_s=1000) == pytest.approx(100, abs=60)
    estate.simulator.add_avatar(JOB)
    estate.request(JOB, lane="user")
    estate.work(remote=estate.client, related="verify")
    assert estate.ends(JOB) == "deleted", "no slot of the sweep's queue was waited for"
    assert estate.erasure()["inventory"] == "done"


# -- a recheck of what was closed --------------------------------------------------------------------------------------


def recheck(estate: Estate) -> None:
    record(estate.ledger, None, {Target(DEMO_PROJECT, JOB): "gone"}, looks=[None])
    estate.later(5)


def closed(estate: Estate, related: str) -> None:
    estate.related = related
    cascade = {"cascade": "purge"} if related == "verify" else {}
    estate.simulator.add_avatar(JOB, voice=False, **cascade)
    estate.delete(JOB)
    estate.to_the_end()
    assert estate.verdict() == "whole_by_acknowledgement closed"


@pytest.mark.parametrize("related", ["verify", "delete"])
def test_an_asset_that_a_backup_brought_back_is_left_behind_again(estate: Estate, related: str) -> None:
    closed(estate, related)
    before, calls = estate.parts(), len(estate.receipts())
    recheck(estate)
    assert (estate.parts(), estate.verdict()) == (before, "whole_by_acknowledgement closed")
    assert len(estate.receipts()) == calls, "nothing has changed"
    estate.simulator.add_asset(f"asset-{JOB}")
    recheck(estate)
    assert estate.parts() == {"model_asset": "kept"}
    assert estate.verdict() == "partial closed"
    assert estate.receipts()[-1]["er"] == "partial"
    assert estate.redis.zscore(f"{estate.ledger.prefix}left", f"{DEMO_PROJECT}/{JOB}") is not None


def test_a_recheck_that_sees_nothing_at_all_takes_nothing_back(estate: Estate) -> None:
    closed(estate, "delete")
    estate.simulator.deny(["asset_read"])
    recheck(estate)
    assert estate.verdict() == "whole_by_acknowledgement closed"
