"""Every switch of the simulator's library: what no document says about assets and voice jobs can be tried both ways."""

from __future__ import annotations

import pytest

from tests.support.caller import Caller
from tests.support.library import LibraryCaller
from tests.support.waiting import wait_until
from worker.model.errors import UsageError
from worker.simulator import DEMO_AK, Simulator, SimulatorControl
from worker.simulator.library_behaviour import LibraryBehaviour


def happened(simulator: Simulator, label: str) -> dict[str, dict[str, int]]:
    """What happened to a resource after it was added, and by whom."""
    found = simulator.tally()[simulator.project][label]
    return {what: by for what, by in found.items() if what != "added"}


# what a job's DELETE takes along

KEPT: dict[str, dict[str, int]] = {}
TAKEN = {"bin": {"binned": {"service": 1}}, "purge": {"purged": {"service": 1}}}


@pytest.mark.parametrize(("of", "takes_voice"), [("asset", False), ("all", True)])
@pytest.mark.parametrize(("how", "state"), [("none", "ACTIVED"), ("bin", "DELETING"), ("purge", "DELETED")])
def test_the_delete_of_a_job_takes_along_what_the_switch_says(
    simulator: Simulator, caller: Caller, library: LibraryCaller, how: str, state: str, of: str, takes_voice: bool
) -> None:
    simulator.add_avatar("job-1")
    simulator.add_avatar("job-2")
    simulator.set_library(cascade=how, cascade_of=of)
    assert caller.delete("job-1").status == 200
    takes_voice = takes_voice and how != "none"
    assert library.state("asset-job-1") == state
    assert library.state("voice-asset-job-1") == (state if takes_voice else "ACTIVED")
    assert library.list_voices("sort_dir=asc") == (["voice-job-2"] if takes_voice else ["voice-job-1", "voice-job-2"])
    assert (library.state("asset-job-2"), library.state("voice-asset-job-2")) == ("ACTIVED", "ACTIVED")
    assert happened(simulator, "asset:asset-job-1") == TAKEN.get(how, KEPT)
    assert happened(simulator, "asset:voice-asset-job-1") == (TAKEN[how] if takes_voice else KEPT)
    assert happened(simulator, "voice_job:voice-job-1") == ({"deleted": {"service": 1}} if takes_voice else KEPT)
    assert simulator.effects("asset") == simulator.effects("voice_job") == {}


def test_a_job_that_is_not_deleted_takes_nothing_along(
    simulator: Simulator, caller: Caller, library: LibraryCaller
) -> None:
    simulator.add_avatar("job-1", "TRAINING", cascade="purge")
    assert caller.delete("job-1").status == 400
    assert library.state("asset-job-1") == "ACTIVED"


def test_a_job_may_take_along_otherwise_than_the_rest(
    simulator: Simulator, caller: Caller, library: LibraryCaller
) -> None:
    simulator.add_avatars([{"job_id": "stays"}, {"job_id": "goes", "cascade": "purge", "cascade_of": "asset"}])
    assert [caller.delete(job_id).status for job_id in ("stays", "goes")] == [200, 200]
    assert [library.state(f"asset-{job_id}") for job_id in ("stays", "goes")] == ["ACTIVED", "DELETED"]
    assert library.state("voice-asset-goes") == "ACTIVED"


def test_what_is_taken_along_late_is_there_until_then(
    simulator: Simulator, caller: Caller, library: LibraryCaller
) -> None:
    simulator.add_avatar("job-1")
    simulator.set_library(cascade="bin", cascade_after_s=86_400)
    caller.delete("job-1")
    simulator.move_library_clock(0.5)
    assert library.state("asset-job-1") == "ACTIVED"
    simulator.move_library_clock(0.5)
    assert library.state("asset-job-1") == "DELETING"
    simulator.set_library(cascade_after_s=0.05)
    simulator.add_avatar("job-2")
    caller.delete("job-2")
    wait_until(lambda: library.state("asset-job-2") == "DELETING")


def test_an_asset_in_another_project_is_taken_along_from_there(simulator: Simulator, caller: Caller) -> None:
    simulator.add_avatar("job-1", asset_project="other", cascade="purge", voice=False)
    caller.delete("job-1")
    assert simulator.assets() == {"other": {"asset-job-1": "DELETED"}}


@pytest.mark.parametrize(("how", "state"), [("none", "ACTIVED"), ("bin", "DELETING"), ("purge", "DELETED")])
def test_the_delete_of_a_voice_job_takes_its_asset_along_if_the_switch_says_so(
    simulator: Simulator, library: LibraryCaller, how: str, state: str
) -> None:
    simulator.add_avatar("job-1")
    simulator.set_library(voice_cascade=how)
    assert library.delete_voice("voice-job-1").status == 200
    assert library.state("voice-asset-job-1") == state
    assert happened(simulator, "voice_job:voice-job-1") == {"deleted": {DEMO_AK: 1}}
    assert library.state("asset-job-1") == "ACTIVED"


# which states allow the DELETE of an asset


@pytest.mark.parametrize("mode", [None, "force"])
@pytest.mark.parametrize("state", ["ACTIVED", "WAITING_DELETE"])
def test_an_asset_in_use_is_deactivated_first_unless_the_switch_is_off(
    simulator: Simulator, library: LibraryCaller, state: str, mode: str | None
) -> None:
    simulator.add_asset("a", asset_state=state)
    simulator.add_asset("b", asset_state=state)
    assert library.delete("a", mode).code == "MSS.00000003"
    assert library.state("a") == state
    assert library.update("a", asset_state="UNACTIVED").status == 200
    assert library.delete("a", mode).status == 200
    assert happened(simulator, "asset:a")["deactivated"] == {DEMO_AK: 1}
    simulator.set_library(enforce_deactivation=False)
    assert library.delete("b", mode).status == 200


@pytest.mark.parametrize(("taken", "status", "state"), [(True, 200, "DELETED"), (False, 400, "DELETING")])
def test_force_is_taken_from_the_bin_or_is_not(
    simulator: Simulator, library: LibraryCaller, taken: bool, status: int, state: str
) -> None:
    simulator.add_asset("a", asset_state="UNACTIVED")
    simulator.set_library(force_from_bin=taken)
    library.delete("a")
    assert library.delete("a", "force").status == status
    assert library.state("a") == state


def test_a_forced_delete_may_take_effect_late_or_never(simulator: Simulator, library: LibraryCaller) -> None:
    for asset_id, seconds in (("late", 3600), ("never", None)):
        simulator.add_asset(asset_id, asset_state="UNACTIVED")
        simulator.set_library(purge_after_s=seconds)
        assert library.delete(asset_id, "force").status == 200
        assert library.state(asset_id) == "UNACTIVED"
    simulator.move_library_clock(1)
    assert (library.state("late"), library.state("never")) == ("DELETED", "UNACTIVED")
    assert happened(simulator, "asset:late") == {"purged": {DEMO_AK: 1}}


@pytest.mark.parametrize(("may", "status"), [(True, 200), (False, 400)])
def test_a_frozen_asset_may_be_deleted_or_may_not(
    simulator: Simulator, library: LibraryCaller, may: bool, status: int
) -> None:
    simulator.add_asset("a", asset_state="UNACTIVED")
    simulator.block_asset("a")
    simulator.set_library(delete_blocked=may)
    assert library.delete("a", "force").status == status


# frozen, restored, transferred: other hands


@pytest.mark.parametrize("before", ["ACTIVED", "UNACTIVED"])
def test_unfreezing_brings_back_what_was_in_the_bin(simulator: Simulator, library: LibraryCaller, before: str) -> None:
    simulator.set_library(enforce_deactivation=False)
    simulator.add_asset("a", asset_state=before)
    library.delete("a")
    simulator.block_asset("a")
    assert library.state("a") == "BLOCK"
    simulator.move_library_clock(8)
    assert library.state("a") == "BLOCK"
    simulator.unblock_asset("a")
    assert library.state("a") == before
    assert happened(simulator, "asset:a") == {
        "binned": {DEMO_AK: 1},
        "blocked": {"operator": 1},
        "unblocked": {"operator": 1},
    }


def test_unfreezing_brings_back_what_was_in_use(simulator: Simulator, library: LibraryCaller) -> None:
    simulator.add_asset("a")
    simulator.block_asset("a")
    simulator.block_asset("a")
    simulator.unblock_asset("a")
    assert library.state("a") == "ACTIVED"


def test_a_frozen_asset_that_is_binned_and_restored_is_as_before_it_was_frozen(
    simulator: Simulator, library: LibraryCaller
) -> None:
    simulator.add_asset("a")
    simulator.block_asset("a")
    assert (library.delete("a").status, library.restore("a").status, library.state("a")) == (200, 200, "ACTIVED")


def test_an_asset_can_go_to_another_project(simulator: Simulator, library: LibraryCaller) -> None:
    simulator.add_asset("a")
    simulator.transfer_asset("a", "other")
    assert library.show("a").code == "MSS.10001001"
    assert library.list(("asset_id", "a")) == []
    assert simulator.assets() == {"other": {"a": "ACTIVED"}}
    assert happened(simulator, "asset:a") == {"transferred": {"operator": 1}}


@pytest.mark.parametrize("system", [False, True], ids=["shared with us", "MetaStudio's own"])
def test_an_asset_of_others_is_shown_with_its_project_and_cannot_be_changed(
    simulator: Simulator, library: LibraryCaller, system: bool
) -> None:
    simulator.add_asset("a", project="other", system=system, shared_with=() if system else [simulator.project])
    assert library.show("a").json["project_id"] == "other"
    assert library.list(("asset_id", "a")) == []
    answers = [library.delete("a", "force"), library.update("a", asset_state="UNACTIVED"), library.restore("a")]
    assert {answer.code for answer in answers} == {"MSS.00000003"}
    assert simulator.assets() == {"other": {"a": "ACTIVED"}}


# the bin's clock


def test_the_bin_is_emptied_after_seven_days_of_a_clock_that_can_be_moved(
    simulator: Simulator, library: LibraryCaller
) -> None:
    simulator.add_asset("a", asset_state="UNACTIVED")
    library.delete("a")
    simulator.move_library_clock(6.9)
    assert library.state("a") == "DELETING"
    simulator.move_library_clock(0.1)
    assert library.state("a") == "DELETED"
    assert happened(simulator, "asset:a") == {"binned": {DEMO_AK: 1}, "purged": {"service": 1}}


def test_a_restored_asset_has_seven_days_again_when_it_comes_back_to_the_bin(
    simulator: Simulator, library: LibraryCaller
) -> None:
    simulator.add_asset("a", asset_state="UNACTIVED")
    library.delete("a")
    simulator.move_library_clock(6)
    library.restore("a")
    library.delete("a")
    simulator.move_library_clock(6)
    assert library.state("a") == "DELETING"
    simulator.move_library_clock(1)
    assert library.state("a") == "DELETED"


def test_the_bins_days_can_be_others_or_never_end(simulator: Simulator, library: LibraryCaller) -> None:
    for asset_id, days in (("short", 1), ("long", None)):
        simulator.add_asset(asset_id, asset_state="UNACTIVED")
        simulator.set_library(bin_days=days)
        library.delete(asset_id)
    simulator.move_library_clock(400)
    assert (library.state("short"), library.state("long")) == ("DELETED", "DELETING")


# what is answered for what is not there


def test_a_purged_asset_stays_shown_and_listed_unless_the_switch_is_off(
    simulator: Simulator, library: LibraryCaller
) -> None:
    simulator.add_asset("a", asset_state="DELETED")
    assert library.show("a").json["asset_state"] == "DELETED"
    assert library.list(("asset_id", "a")) == ["a"]
    assert len(library.summarize("a").json["asset_list"]) == 1
    simulator.set_library(tombstones=False)
    assert library.show("a").code == "MSS.10001001"
    assert library.list(("asset_id", "a")) == []
    assert library.summarize("a").json["asset_list"] == []


@pytest.mark.parametrize(("choice", "status"), [("400", 400), ("404", 404), ("500", 500)])
def test_absent_parts_are_answered_as_chosen(
    simulator: Simulator, library: LibraryCaller, choice: str, status: int
) -> None:
    simulator.set_library(absent_asset=choice, absent_voice_job=choice)
    code = "MSS.00000004" if choice == "500" else "MSS.10001001"
    for answer in (library.show("nobody"), library.delete("nobody"), library.restore("nobody")):
        assert (answer.status, answer.code) == (status, code)
    for answer in (library.show_voice("nobody"), library.delete_voice("nobody")):
        assert answer.status == status


def test_a_list_that_ignores_asset_id_returns_others(simulator: Simulator, library: LibraryCaller) -> None:
    simulator.put_assets([{"asset_id": f"a{n}"} for n in range(12)])
    assert library.list(("asset_id", "a3")) == ["a3"]
    simulator.set_library(ignore_asset_ids=True)
    answer = library.listing(("asset_id", "a11")).json
    assert (answer["count"], len(answer["assets"])) == (12, 10)
    assert "a11" not in [row["asset_id"] for row in answer["assets"]]


@pytest.mark.parametrize(
    ("how", "count", "rows", "all_rows"),
    [("empty", 0, [], 0), ("empty_by_id", 0, [], 2), ("no_rows", 1, [], 0), ("foreign", 1, ["somebody-s"], 2)],
)
def test_lists_can_be_well_formed_and_wrong(
    simulator: Simulator, caller: Caller, library: LibraryCaller, how: str, count: int, rows: list[str], all_rows: int
) -> None:
    simulator.add_avatar("job-1")
    simulator.set_library(asset_lists=how, voice_lists=how)
    answer = library.listing(("asset_id", "asset-job-1")).json
    assert (answer["count"], [row["project_id"] for row in answer["assets"]]) == (count, rows)
    assert len(library.list()) == all_rows
    assert len(library.list_voices("job_id=voice-job-1")) == len(rows)
    assert caller.list().json["count"] == 1


# who may see and do what


def test_isolation_hides_an_app_users_parts(simulator: Simulator, caller: Caller, library: LibraryCaller) -> None:
    simulator.add_avatar("job-1", app_user_id="user-42", asset_state="UNACTIVED")
    simulator.set_answers(isolate_app_users=True)
    assert library.show("asset-job-1").code == "MSS.10001001"
    assert library.delete("asset-job-1", "force").code == "MSS.10001001"
    assert (library.list(), library.list_voices(), library.show_voice("voice-job-1").status) == ([], [], 400)
    caller.extra["X-App-UserId"] = "user-42"
    assert (len(library.list()), library.list_voices()) == (2, ["voice-job-1"])
    assert library.delete("asset-job-1", "force").status == 200


def test_a_key_may_see_jobs_and_no_parts(simulator: Simulator) -> None:
    simulator.add_avatar("job-1")
    simulator.set_credential("AK2", "SK2", sees_library=False)
    caller = Caller.of(simulator, ak="AK2", sk="SK2")
    blind = LibraryCaller(caller)
    assert caller.show("job-1").status == 200
    assert (blind.show("asset-job-1").code, blind.list()) == ("MSS.10001001", [])
    assert (blind.show_voice("voice-job-1").status, blind.list_voices()) == (400, [])


CALLS = {
    "asset_delete": lambda library: library.delete("a", "force"),
    "asset_read": lambda library: library.show("a"),
    "asset_update": lambda library: library.update("a", asset_state="UNACTIVED"),
    "voice_read": lambda library: library.show_voice("v"),
    "voice_delete": lambda library: library.delete_voice("v"),
    "job_read": lambda library: library.caller.show("j"),
    "job_delete": lambda library: library.caller.delete("j"),
}


@pytest.mark.parametrize("family", CALLS)
def test_a_key_may_be_refused_one_family_of_calls(simulator: Simulator, library: LibraryCaller, family: str) -> None:
    simulator.add_asset("a", asset_state="UNACTIVED")
    simulator.add_voice_job("v")
    simulator.add_job("j")
    simulator.set_credential("AK2", "SK2")
    simulator.deny([family])
    order = sorted(CALLS, key=lambda name: name.endswith("delete"))
    answers = {name: CALLS[name](library) for name in order}
    assert {name: answer.status for name, answer in answers.items()} == {
        name: 403 if name == family else 200 for name in order
    }
    assert answers[family].code == "APIGW.0302"
    other = CALLS[family](LibraryCaller(Caller.of(simulator, ak="AK2", sk="SK2")))
    assert other.status != 403
    simulator.deny([])
    assert CALLS[family](library).status != 403


# limits, latency, faults


@pytest.mark.parametrize("family", CALLS)
def test_each_family_has_a_limit_of_its_own(simulator: Simulator, library: LibraryCaller, family: str) -> None:
    simulator.set_limits(per_s={family: 1}, retry_after_s=2)
    wait_until(lambda: CALLS[family](library).status == 429)
    call = simulator.calls()[-1]
    assert (call["status"], call["code"]) == (429, "APIGW.0308")
    assert all(CALLS[name](library).status == 400 for name in CALLS if name != family)
    assert library.restore("a").status == (429 if family == "asset_update" else 400)
    simulator.set_limits()
    assert CALLS[family](library).status == 400


def test_parts_take_as_long_as_jobs(simulator: Simulator, library: LibraryCaller) -> None:
    simulator.set_latency(0.05)
    library.show("a")
    (call,) = simulator.calls(kind="asset")
    assert call["ended"] - call["started"] >= 0.05


@pytest.mark.parametrize(
    ("fault", "family"),
    [
        ({"resource": "asset"}, "asset_delete"),
        ({"resource": "asset", "method": "GET"}, "asset_read"),
        ({"resource": "asset", "method": "PUT", "job_id": "a"}, "asset_update"),
        ({"resource": "voice_job"}, "voice_delete"),
        ({"resource": "voice_job", "method": "GET", "job_id": "v"}, "voice_read"),
        ({}, "job_delete"),
        ({"method": "GET"}, "job_read"),
    ],
)
def test_a_fault_is_aimed_at_one_kind_of_resource(
    simulator: Simulator, library: LibraryCaller, fault: dict[str, str], family: str
) -> None:
    simulator.fault("error", times=None, **fault)
    assert {name for name, call in CALLS.items() if call(library).status == 500} == {family}
    assert simulator.stats()["by_fault"] == {"error": 1}


def test_a_fault_of_every_resource_hits_them_in_turn(simulator: Simulator, library: LibraryCaller) -> None:
    simulator.fault("error", resource="*", times=3)
    answers = [CALLS[name](library).status for name in ("job_delete", "asset_delete", "voice_delete", "asset_delete")]
    assert answers == [500, 500, 500, 400]


@pytest.mark.parametrize("deletes", [False, True])
@pytest.mark.parametrize(
    ("method", "family", "what"),
    [("DELETE", "asset_delete", "purged"), ("PUT", "asset_update", "deactivated"), ("POST", "restore", "restored")],
)
def test_a_call_that_fails_may_have_changed_the_asset_anyway(
    simulator: Simulator, library: LibraryCaller, method: str, family: str, what: str, deletes: bool
) -> None:
    simulator.add_asset("a", asset_state="UNACTIVED")
    if family == "restore":
        library.delete("a")
    simulator.fault("error", resource="asset", method=method, deletes=deletes)
    answer = library.restore("a") if family == "restore" else CALLS[family](library)
    assert answer.status == 500
    assert (what in happened(simulator, "asset:a")) is deletes


@pytest.mark.parametrize("family", ["asset_delete", "asset_read", "asset_update", "voice_read", "voice_delete"])
def test_a_200_can_carry_an_error(simulator: Simulator, library: LibraryCaller, family: str) -> None:
    simulator.add_asset("a", asset_state="UNACTIVED")
    simulator.add_voice_job("v")
    simulator.fault("error_in_200", resource="*", method="*")
    answer = CALLS[family](library)
    assert (answer.status, answer.code) == (200, "MSS.00000004")
    assert (library.state("a"), library.show_voice("v").status) == ("UNACTIVED", 200)
    assert simulator.effects("asset") == simulator.effects("voice_job") == {}


def test_a_brownout_lists_no_parts(simulator: Simulator, library: LibraryCaller) -> None:
    simulator.add_avatar("job-1")
    simulator.outage("brownout")
    assert library.listing().json == {"count": 0, "assets": []}
    assert library.list_voices() == []
    assert (library.show("asset-job-1").status, library.show_voice("voice-job-1").status) == (500, 500)


# the switches themselves


@pytest.mark.parametrize(
    ("switches", "message"),
    [
        ({"cascade": "burn"}, "use one of none, bin, purge"),
        ({"cascade_of": "voice"}, "use one of asset, all"),
        ({"tombstones": "no"}, "true or false"),
        ({"bin_days": -1}, "0 or more"),
        ({"cascade_after_s": None}, "0 or more"),
        ({"absent_asset": "418"}, "400, 404, 500"),
        ({"colour": "red"}, "no switch colour"),
    ],
)
def test_a_switch_that_makes_no_sense_says_what_would_and_changes_nothing(
    simulator: Simulator, switches: dict[str, object], message: str
) -> None:
    before = simulator.state.library.behaviour
    for control in (simulator, SimulatorControl(simulator.url)):
        with pytest.raises(UsageError, match=message):
            control.set_library(**switches)
    assert simulator.state.library.behaviour == before


@pytest.mark.parametrize("name", ["put_avatars", "add"])
def test_a_jobs_own_switches_are_checked_when_it_is_added(simulator: Simulator, name: str) -> None:
    row = {"job_id": "job-1", "cascade": "burn"}
    with pytest.raises(UsageError, match="none, bin, purge"):
        simulator._run(name, {"avatars" if name == "put_avatars" else "jobs": [row]})
    assert (simulator.job_ids(), simulator.assets()) == ([], {})


@pytest.mark.parametrize(
    ("command", "arguments", "message"),
    [
        ("deny", {"families": ["asset_write"]}, "no family asset_write"),
        ("set_limits", {"per_s": {"asset_write": 1}}, "no family asset_write"),
        ("set_limits", {"per_s": {"asset_read": 0}}, "asset_read: use a whole number"),
        ("set_limits", {"per_s": [1]}, "use an object"),
        ("fault", {"kind": "error", "resource": "video"}, "use job, asset, voice_job"),
        ("fault", {"kind": "error", "resource": "asset", "method": "PATCH"}, "use PUT, POST, DELETE"),
    ],
)
def test_a_command_about_families_says_which_there_are(
    simulator: Simulator, command: str, arguments: dict[str, object], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        simulator._run(command, arguments)


def test_a_reset_brings_back_the_switches_of_the_start() -> None:
    with Simulator(library=LibraryBehaviour(tombstones=False), per_s={"asset_read": 1}) as simulator:
        library = LibraryCaller(Caller.of(simulator))
        simulator.set_library(tombstones=True)
        simulator.set_limits()
        simulator.deny(["asset_read"])
        simulator.reset()
        simulator.add_asset("a", asset_state="DELETED")
        assert library.show("a").code == "MSS.10001001"
        wait_until(lambda: library.show("a").status == 429)
