"""`eraser learn`: one throw-away job shows what MetaStudio deletes; the simulator is every kind of MetaStudio."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.command import Command, Ended, near
from tests.support.waiting import wait_until
from worker.execution.app_context import AppContext
from worker.ledger.keys import OURS
from worker.model.target import Target
from worker.simulator import CANARIES, Simulator

LOOKS = "0.05s,0.1s,0.15s,0.2s,0.25s"  # instead of eight days


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator(jobs=2) as app:
        yield app


class Laboratory:
    """An installation whose workers are this thread, and its MetaStudio."""

    def __init__(self, command: Command, simulator: Simulator) -> None:
        self.simulator, self._command = simulator, command
        self.environ = near(simulator) | {"ERASER_RATE": "100"}
        self.app = AppContext.load({"ERASER_REDIS_URL": command.url, **self.environ})

    def command(self, *args: str, **more: Any) -> Ended:
        return self._command(*args, **{**self.environ, **more})

    def begin(self, job_id: str = "job-a", looks: str = LOOKS) -> Ended:
        return self.command("learn", job_id, "--confirm", job_id, "--looks", looks, "--reason", "T-1", "--by", "ops-7")

    def status(self) -> dict[str, Any]:
        (found,) = self.command("learn", "--status", "--json").json
        return found

    def work_until(self, condition: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
        """Work until the experiment's status is so; what is due is looked at, as by any worker."""
        found: dict[str, Any] = {}

        def there() -> object:
            self.app.work("default")
            found.update(self.status())
            return condition(found)

        wait_until(there, what="the experiment to go on")
        return found

    def hurry(self) -> None:
        """The next look is due now, however far away it is."""
        key = f"{OURS.account('default')}erasures"
        self.app.redis.zadd(key, {f"{self.simulator.project}/job-a": 1}, xx=True)


@pytest.fixture
def lab(command: Command, simulator: Simulator) -> Laboratory:
    return Laboratory(command, simulator)


def ended(found: dict[str, Any]) -> bool:
    return found["closed_at"] is not None


def looked(times: int) -> Callable[[dict[str, Any]], bool]:
    return lambda found: found["facts"]["looks"] >= times


def cascades(found: dict[str, Any]) -> dict[str, str]:
    return {part["kind"]: part["cascade"] for part in found["facts"]["parts"]}


def settings(found: dict[str, Any]) -> dict[str, str]:
    return {one["setting"]: one["value"] for one in found["proposals"]}


ALL = ("model_asset", "voice_job", "voice_asset")


# -- what is found out -------------------------------------------------------------------------------------------------


def test_a_metastudio_that_deletes_the_job_only_is_found_out(lab: Laboratory) -> None:
    lab.simulator.add_avatar("job-a")
    assert lab.begin().code == 0
    found = lab.work_until(ended)
    assert cascades(found) == dict.fromkeys(ALL, "none")
    assert settings(found) == {"ERASER_RELATED": "delete", "ERASER_RELATED_ASSETS": "force"}
    facts = found["facts"]
    assert facts["delete"] == {"status": 200, "code": None}
    assert (facts["absent_job"], facts["deleted_job_listed"]) == ({"status": 400, "code": "MSS.00000003"}, False)
    assert 1 <= facts["looks"] <= 5, "one late look stands for several"
    assert found["state"] == "deleted"


def test_a_metastudio_that_purges_everything_is_found_out(lab: Laboratory) -> None:
    lab.simulator.set_library(cascade="purge", voice_cascade="purge", tombstones=False)
    lab.simulator.add_avatar("job-a")
    lab.begin()
    found = lab.work_until(ended)
    assert cascades(found) == dict.fromkeys(ALL, "absent")
    assert settings(found) == {"ERASER_RELATED": "verify"}
    absent = found["facts"]["absent_part"]
    assert absent["model_asset"] == {"status": 400, "code": "MSS.10001001"}
    assert set(absent) == set(ALL)


def test_tombstones_are_found_out(lab: Laboratory) -> None:
    lab.simulator.set_library(cascade="purge", cascade_of="asset")
    lab.simulator.add_avatar("job-a")
    lab.begin()
    found = lab.work_until(ended)
    assert cascades(found) == {"model_asset": "purged", "voice_job": "none", "voice_asset": "none"}
    assert found["facts"]["tombstone_listed"] is True
    assert found["facts"]["bin_listed"] is None
    assert settings(found)["ERASER_RELATED"] == "delete"


def test_the_recycle_bin_is_found_out_and_when_it_is_emptied(lab: Laboratory) -> None:
    lab.simulator.set_library(cascade="bin", cascade_of="asset")
    lab.simulator.add_avatar("job-a", voice=False)
    lab.begin(looks="0.05s,1h")
    assert settings(lab.work_until(looked(1))) == {}, "it is too early to say"
    lab.simulator.move_library_clock(8)
    lab.hurry()
    found = lab.work_until(ended)
    (part,) = found["facts"]["parts"]
    assert [change["fate"] for change in part["changes"]] == ["in_bin", "purged"]
    assert part["cascade"] == "bin"
    assert found["facts"]["bin_listed"] is True
    assert settings(found) == {"ERASER_RELATED": "verify"}


def test_a_service_that_deletes_late_is_found_out(lab: Laboratory) -> None:
    lab.simulator.set_library(cascade="purge", cascade_of="asset", cascade_after_s=86_400)
    lab.simulator.add_avatar("job-a", voice=False)
    lab.begin(looks="0.05s,1h")
    lab.work_until(looked(1))
    lab.simulator.move_library_clock(1.1)
    lab.hurry()
    found = lab.work_until(ended)
    (part,) = found["facts"]["parts"]
    assert part["cascade"] == "purged"
    (change,) = part["changes"]
    assert 0 < change["after_s"] < change["by_s"]


@pytest.mark.parametrize("answer", ["400", "404"])
def test_what_is_answered_for_a_deleted_job_is_kept(lab: Laboratory, answer: str) -> None:
    lab.simulator.set_answers(absent=answer)
    lab.simulator.add_job("job-a")
    lab.begin()
    found = lab.work_until(ended)
    assert found["facts"]["absent_job"] == {"status": int(answer), "code": "MSS.00000003"}
    assert (found["facts"]["parts"], found["proposals"]) == ([], [])
    assert "no setting can be proposed" in lab.command("learn", "--status").out


def test_the_limits_of_the_gateway_are_asked_for_on_the_way(lab: Laboratory) -> None:
    lab.simulator.set_limits(delete_per_s=900, get_per_s=800, per_s={"asset_read": 700})
    lab.simulator.add_avatar("job-a", voice=False)
    lab.begin()
    lab.work_until(ended)
    (found,) = lab.command("status", "--json").json
    quotas = {one["family"]: one["limit"] for one in found["accounts"][0]["quotas"]}
    assert quotas == {"job_delete": 900, "job_read": 800, "asset_read": 700}


# -- what is done, and what is not -------------------------------------------------------------------------------------


def test_the_delete_of_the_job_is_the_only_change(lab: Laboratory) -> None:
    lab.simulator.add_avatar("job-a")
    lab.begin()
    lab.work_until(ended)
    changes = [call for call in lab.simulator.calls() if call["method"] != "GET"]
    assert [(call["method"], call["job_id"]) for call in changes] == [("DELETE", "job-a")]


def test_an_account_that_deletes_leftovers_leaves_those_of_an_experiment(lab: Laboratory) -> None:
    lab.environ["ERASER_RELATED"] = "delete"
    lab.app = AppContext.load({"ERASER_REDIS_URL": lab.app.redis_url, **lab.environ})
    lab.simulator.add_avatar("job-a")
    lab.begin()
    found = lab.work_until(ended)
    assert cascades(found) == dict.fromkeys(ALL, "none")
    assert [call["method"] for call in lab.simulator.calls() if call["method"] != "GET"] == ["DELETE"]


def test_another_worker_goes_on_where_one_stopped(lab: Laboratory) -> None:
    lab.simulator.add_avatar("job-a")
    lab.begin()
    lab.work_until(looked(1))
    lab.app = AppContext.load({"ERASER_REDIS_URL": lab.app.redis_url, **lab.environ})
    assert 1 <= lab.work_until(ended)["facts"]["looks"] <= 5


def test_a_last_look_that_was_not_answered_is_made_again(lab: Laboratory) -> None:
    lab.simulator.add_avatar("job-a", voice=False)
    lab.simulator.set_library(cascade="purge")
    lab.begin(looks="1h")
    lab.work_until(lambda found: found["state"] == "deleted")
    lab.simulator.outage("500", method="GET")
    lab.hurry()
    found = lab.work_until(looked(1))
    assert found["closed_at"] is None
    assert found["facts"]["parts"][0]["last"] is None
    lab.simulator.outage(None)
    lab.hurry()
    assert cascades(lab.work_until(ended)) == {"model_asset": "purged"}


def test_a_last_question_about_the_job_alone_is_asked_again_as_well(lab: Laboratory) -> None:
    lab.simulator.add_job("job-a")
    lab.begin(looks="1h")
    lab.work_until(lambda found: found["state"] == "deleted")
    lab.simulator.outage("500", method="GET")
    lab.hurry()
    assert lab.work_until(looked(1))["closed_at"] is None
    lab.simulator.outage(None)
    lab.hurry()
    assert lab.work_until(ended)["facts"]["absent_job"] == {"status": 400, "code": "MSS.00000003"}


def test_nothing_of_a_person_is_kept(lab: Laboratory) -> None:
    lab.simulator.add_avatar("job-a")
    lab.begin()
    lab.work_until(ended)
    stored = lab.app.redis.hgetall(f"{OURS.account('default')}experiment:{lab.simulator.project}/job-a")
    assert b"model_asset" in stored[b"answers"]
    everything = json.dumps({name.decode(): value.decode() for name, value in stored.items()})
    everything += lab.command("learn", "--status").all + lab.command("learn", "--status", "--json").all
    assert not [canary for canary in CANARIES if canary in everything]


# -- how it begins -----------------------------------------------------------------------------------------------------


def test_the_job_s_id_has_to_be_typed(lab: Laboratory) -> None:
    lab.simulator.add_avatar("job-a")
    for typed in ([], ["--yes"], ["--confirm", "job-b"], ["--confirm", "job-b", "--yes"], ["--confirm", ""]):
        refused = lab.command("learn", "job-a", *typed)
        assert refused.code == 3
        assert "the job's id confirms the experiment" in refused.all
        assert "eraser learn job-a --confirm job-a" in refused.all
    assert "asset-job-a" in lab.command("learn", "job-a").out, "the plan names what the job has"
    assert lab.command("learn", "--status").out.startswith("No experiment yet.")
    lab.app.work("default")
    assert "job-a" in lab.simulator.job_ids()


@pytest.mark.parametrize(("state", "why"), [("TRAINING", "allows no DELETE"), (None, "does not show job job-a")])
def test_a_job_that_cannot_be_deleted_is_refused(lab: Laboratory, state: str | None, why: str) -> None:
    if state:
        lab.simulator.add_job("job-a", state)
    refused = lab.begin()
    assert (refused.code, why in refused.all) == (3, True)


def test_a_job_whose_deletion_was_asked_for_before_is_refused(lab: Laboratory) -> None:
    lab.simulator.add_avatar("job-a")
    lab.command("request", "job-a", "--after", "1h")
    refused = lab.begin()
    assert refused.code == 3
    assert "nobody looked at what it had" in refused.all
    assert lab.command("learn", "--status").out.startswith("No experiment yet.")


def test_to_repeat_the_command_changes_nothing(lab: Laboratory) -> None:
    lab.simulator.add_avatar("job-a")
    assert lab.begin().code == 0
    again = lab.begin()
    assert (again.code, "had begun already" in again.out) == (0, True)
    assert 1 <= lab.work_until(ended)["facts"]["looks"] <= 5
    (act, *_) = lab.command("audit", "--act", "experiment.begun", "--json").json[::-1]
    assert (act["by"], act["reason"], act["job_id"]) == ("ops-7", "T-1", "job-a")


def test_a_command_that_died_halfway_is_repeated(lab: Laboratory) -> None:
    lab.simulator.add_avatar("job-a")
    lab.app.ledger("default").begin_experiment(Target(lab.simulator.project, "job-a"), (0.05,))
    assert "which is not requested: repeat the command" in lab.command("learn", "--status").out
    assert "had begun already" in lab.begin().out
    assert lab.work_until(ended)["facts"]["looks"] == 1


def test_a_job_id_or_status_and_not_both(lab: Laboratory) -> None:
    assert lab.command("learn").code == 2
    assert lab.command("learn", "job-a", "--status").code == 2


def test_of_many_experiments_the_newest_ten_are_kept(lab: Laboratory) -> None:
    for n in range(12):
        lab.simulator.add_job(f"job-{n}")
        assert lab.begin(f"job-{n}").code == 0
    found = lab.command("learn", "--status", "--json").json
    assert [one["job_id"] for one in found] == [f"job-{n}" for n in range(11, 1, -1)]


# -- what doctor says --------------------------------------------------------------------------------------------------


def doctor(lab: Laboratory, **more: str) -> tuple[str, str, str | None]:
    lines = {line["check"]: line for line in lab.command("doctor", "--offline", "--json", **more).json}
    line = lines["leftovers of default"]
    return line["verdict"], line["found"], line["todo"]


def test_doctor_says_what_is_known_and_whether_the_settings_fit(lab: Laboratory) -> None:
    assert doctor(lab)[:2] == ("ok", "it is not known what MetaStudio deletes with a job")
    lab.simulator.add_avatar("job-a", voice=False)
    lab.begin()
    lab.work_until(ended)
    verdict, found, todo = doctor(lab)
    assert verdict == "warning"
    assert re.fullmatch(r"model asset stays \(job job-a: ended: [1-5] of 5 looks made\)", found)
    assert todo is not None
    assert "consider ERASER_RELATED=delete (MetaStudio leaves the model asset" in todo
    assert doctor(lab, ERASER_RELATED="delete")[0] == "ok"
    assert doctor(lab, ERASER_RELATED="delete", ERASER_RELATED_ASSETS="bin")[0] == "warning"


@pytest.mark.parametrize(("related", "verdict"), [("verify", "ok"), ("delete", "ok"), ("leave", "warning")])
def test_doctor_does_not_advise_whoever_deletes_more(lab: Laboratory, related: str, verdict: str) -> None:
    lab.simulator.set_library(cascade="purge")
    lab.simulator.add_avatar("job-a", voice=False)
    lab.begin()
    lab.work_until(ended)
    assert doctor(lab, ERASER_RELATED=related)[0] == verdict
