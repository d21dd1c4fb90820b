"""What must never happen to what a job leaves behind, and what is said where MetaStudio does something odd."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from tests.execution.test_erasure import DAY_S, JOB, Estate
from tests.execution.test_erasure import estate as estate
from worker.ledger.damage import check
from worker.ledger.holds import HoldList
from worker.ledger.types import DeletionRequest
from worker.model.erasure import AssetMode
from worker.model.states import Lane
from worker.model.target import Target
from worker.simulator import CANARIES, DEMO_AK, DEMO_PROJECT, DEMO_SK

ASSET, VOICE, VOICE_ASSET = f"asset-{JOB}", f"voice-{JOB}", f"voice-asset-{JOB}"
WHOLE = "whole_by_acknowledgement closed"
OTHER_PROJECT = "0605768a2c8026af2f8bc00f4b0d3b7d"
GONE = ("purged", "absent_seen_before")


def delete(estate: Estate, job: str = JOB, **how: Any) -> None:
    """Ask for the job and for what it leaves, and let the executors work."""
    estate.related = "delete"
    estate.delete(job, **how)


def sent(estate: Estate, kind: str) -> dict[str, int]:
    return estate.simulator.deletes(kind)


def state_of(estate: Estate, asset: str = ASSET) -> str | None:
    return estate.simulator.assets()[DEMO_PROJECT].get(asset)


def part(estate: Estate, kind: str = "model_asset", job: str = JOB) -> dict[str, Any]:
    return next(one for one in json.loads(estate.erasure(job)["parts"]) if one["part"] == kind)


def deletion(estate: Estate, name: str = f"model_asset:{ASSET}") -> str:
    return estate.ends(name)


# -- what MetaStudio answers ---------------------------------------------------------------------------------------


def test_a_list_that_ignores_the_filter_proves_nothing_and_each_part_is_asked_for_alone(estate: Estate) -> None:
    estate.simulator.set_library(ignore_asset_ids=True)
    estate.simulator.add_avatar(JOB, voice=False)
    delete(estate)
    estate.to_the_end()
    assert estate.parts() == {"model_asset": "purged us"}
    assert (estate.verdict(), state_of(estate)) == (WHOLE, "DELETED")
    assert sent(estate, "asset") == {ASSET: 1}


@pytest.mark.parametrize(("related", "others"), [("delete", 3), ("verify", 150)])
def test_a_list_that_ignores_the_filter_and_forgets_what_is_purged_proves_an_absence(
    estate: Estate, related: str, others: int
) -> None:
    """The whole library was listed, or Show says that it is not there."""
    estate.simulator.set_library(ignore_asset_ids=True, tombstones=False)
    for n in range(others):
        estate.simulator.add_asset(f"asset-of-others-{n}")
    estate.simulator.add_avatar(JOB, voice=False, cascade="purge" if related == "verify" else "none")
    estate.related = related
    estate.delete(JOB)
    estate.to_the_end()
    by = "service" if related == "verify" else "us"
    assert (estate.parts(), estate.verdict()) == ({"model_asset": f"absent_seen_before {by}"}, WHOLE)


@pytest.mark.parametrize("related", ["verify", "delete"])
def test_a_purged_asset_that_no_list_remembers_was_seen_before(estate: Estate, related: str) -> None:
    estate.related = related
    estate.simulator.set_library(tombstones=False)
    estate.simulator.add_avatar(JOB, voice=False, cascade="purge" if related == "verify" else "none")
    estate.delete(JOB)
    estate.to_the_end()
    by = "service" if related == "verify" else "us"
    assert (estate.parts(), estate.verdict()) == ({"model_asset": f"absent_seen_before {by}"}, WHOLE)


@pytest.mark.parametrize("status", ["400", "404"])
def test_what_is_not_there_before_the_delete_was_never_seen(estate: Estate, status: str) -> None:
    estate.simulator.set_library(absent_asset=status, absent_voice_job=status)
    estate.simulator.add_job(JOB, asset_id="asset-x", voice_train_job_id="voice-x", project_id=DEMO_PROJECT)
    delete(estate)
    assert estate.erasure()["inventory"] == "done"
    estate.to_the_end()
    assert estate.parts() == {"model_asset": "absent_never_seen", "voice_job": "absent_never_seen"}
    assert estate.verdict() == "unverifiable closed"
    assert sent(estate, "asset") == sent(estate, "voice_job") == {}


def test_what_appears_only_after_the_delete_is_reported_and_not_touched(estate: Estate) -> None:
    estate.simulator.add_job(JOB, asset_id="asset-x", project_id=DEMO_PROJECT)
    delete(estate)
    estate.simulator.add_asset("asset-x")
    estate.to_the_end()
    assert (estate.parts(), estate.verdict()) == ({"model_asset": "kept"}, "partial closed")
    assert sent(estate, "asset") == {}
    estate.simulator.move_asset("asset-x", "DELETED")


def test_an_unknown_state_is_present_and_its_text_is_not_kept(estate: Estate) -> None:
    estate.simulator.add_avatar(JOB, voice=False, asset_state="SOMETHING_NEW")
    estate.delete(JOB)
    estate.simulator.move_asset(ASSET, "Mrs Example, 13800000000")
    estate.to_the_end()
    assert (part(estate)["before"], part(estate)["after"]) == ("SOMETHING_NEW", "?")
    assert estate.verdict() == "partial closed"
    assert "Example" not in estate.everything_stored()


@pytest.mark.parametrize("kind", ["error_in_200", "html", "error"])
def test_an_answer_that_is_no_success_ends_no_part(estate: Estate, kind: str) -> None:
    estate.simulator.add_avatar(JOB, voice=False)
    status = {"html": 200}.get(kind)
    estate.simulator.fault(kind, ASSET, resource="asset", times=None, status=status)
    delete(estate)
    estate.later(66, 600, 61, 61, 61, 66, 600, DAY_S, DAY_S)
    assert deletion(estate).startswith("dead")
    assert (estate.parts(), estate.verdict()) == ({"model_asset": "refused"}, "incomplete closed")
    assert state_of(estate) == "UNACTIVED"


def test_a_delete_that_is_answered_and_has_no_effect_is_no_success(estate: Estate) -> None:
    estate.simulator.set_library(purge_after_s=None)
    estate.simulator.add_avatar(JOB, voice=False)
    delete(estate)
    estate.to_the_end()
    assert deletion(estate) == "deleted"
    assert (estate.parts(), estate.verdict()) == ({"model_asset": "refused"}, "incomplete closed")


def test_a_delete_that_takes_effect_late_is_one(estate: Estate) -> None:
    estate.simulator.set_library(purge_after_s=300.0)
    estate.simulator.add_avatar(JOB, voice=False)
    delete(estate)
    estate.later(66, 600, 66)
    assert (estate.parts(), estate.verdict()) == ({"model_asset": "acknowledged"}, "pending")
    estate.later(600, DAY_S)
    assert (estate.parts(), estate.verdict()) == ({"model_asset": "purged us"}, WHOLE)


def test_an_active_asset_is_deactivated_first(estate: Estate) -> None:
    estate.simulator.add_avatar(JOB, asset_state="ACTIVED", voice=False)
    delete(estate)
    estate.to_the_end()
    happened = estate.simulator.tally()[DEMO_PROJECT][f"asset:{ASSET}"]
    assert list(happened)[1:] == ["deactivated", "purged"], happened


# -- the recycle bin -----------------------------------------------------------------------------------------------


def test_what_the_service_put_into_the_bin_is_deleted_for_good(estate: Estate) -> None:
    estate.simulator.add_avatar(JOB, voice=False, cascade="bin")
    delete(estate)
    estate.to_the_end()
    assert (estate.parts(), estate.verdict()) == ({"model_asset": "purged us"}, WHOLE)


def test_what_must_stay_in_the_bin_is_waited_for(estate: Estate) -> None:
    estate.simulator.set_library(force_from_bin=False)
    estate.simulator.add_avatar(JOB, voice=False, cascade="bin")
    delete(estate)
    estate.later(66, 600, 61, 61, 61, 61, DAY_S)
    assert deletion(estate) == "dead refused"
    assert (estate.parts(), estate.verdict()) == ({"model_asset": "in_bin service"}, "pending")
    estate.later(8 * DAY_S)
    assert (estate.parts(), estate.verdict()) == ({"model_asset": "purged service"}, WHOLE)


@pytest.mark.parametrize(("related", "verdict"), [("verify", "partial closed"), ("delete", "incomplete closed")])
def test_what_is_still_in_the_bin_on_day_nine_was_left_behind(estate: Estate, related: str, verdict: str) -> None:
    estate.related = related
    estate.simulator.set_library(force_from_bin=False, bin_days=None)
    estate.simulator.add_avatar(JOB, voice=False, cascade="bin")
    estate.delete(JOB)
    estate.later(66, 600, 61, 61, 61, 61, DAY_S, 8 * DAY_S)
    assert related == "delete" or estate.verdict() == "pending"
    estate.later(DAY_S, DAY_S)
    assert estate.verdict() == verdict, estate.parts()


def test_what_was_only_put_into_the_bin_is_deleted_for_good_if_the_bin_is_not_emptied(estate: Estate) -> None:
    estate.mode = AssetMode.BIN
    estate.simulator.set_library(bin_days=None)
    estate.simulator.add_avatar(JOB, voice=False)
    delete(estate)
    estate.to_the_end()
    assert (estate.parts(), estate.verdict()) == ({"model_asset": "in_bin us"}, "pending")
    assert state_of(estate) == "DELETING"
    estate.later(8 * DAY_S, 66, 600, DAY_S, DAY_S)
    assert (estate.parts(), estate.verdict()) == ({"model_asset": "purged us"}, WHOLE)


@pytest.mark.parametrize("tombstones", [True, False])
def test_a_bin_that_is_emptied_in_time_is_the_end(estate: Estate, tombstones: bool) -> None:
    estate.mode = AssetMode.BIN
    estate.simulator.set_library(tombstones=tombstones)
    estate.simulator.add_avatar(JOB, voice=False)
    delete(estate)
    estate.to_the_end()
    estate.later(8 * DAY_S, DAY_S)
    assert estate.verdict() == WHOLE
    assert sent(estate, "asset") == {ASSET: 1}


def test_what_somebody_restores_came_back_and_is_left_behind(estate: Estate) -> None:
    estate.simulator.add_avatar(JOB, voice=False, cascade="bin")
    estate.delete(JOB)
    estate.later(66, 600)
    assert estate.parts() == {"model_asset": "in_bin service"}
    estate.simulator.restore_asset(ASSET)
    estate.to_the_end()
    assert (estate.parts(), estate.verdict()) == ({"model_asset": "kept"}, "partial closed")
    assert estate.redis.zcard(estate.ledger.prefix + "left") == 1


def test_what_somebody_restores_after_our_delete_is_not_deleted_a_second_time(estate: Estate) -> None:
    estate.mode = AssetMode.BIN
    estate.simulator.add_avatar(JOB, voice=False)
    delete(estate)
    estate.later(66, 600, 66)
    estate.simulator.restore_asset(ASSET)
    estate.to_the_end()
    assert (estate.parts(), estate.verdict()) == ({"model_asset": "kept"}, "partial closed")
    assert sent(estate, "asset") == {ASSET: 1}


def test_what_was_frozen_in_the_bin_and_is_unfrozen_came_back(estate: Estate) -> None:
    estate.simulator.add_avatar(JOB, voice=False, cascade="bin")
    estate.delete(JOB)
    estate.later(66)
    estate.simulator.block_asset(ASSET)
    estate.later(600)
    assert (part(estate)["after"], part(estate)["evidence"]) == ("BLOCK", "kept")
    estate.simulator.unblock_asset(ASSET)
    estate.to_the_end()
    assert (part(estate)["after"], estate.verdict()) == ("ACTIVED", "partial closed")


@pytest.mark.parametrize("allowed", [True, False])
def test_a_frozen_asset_is_deleted_if_that_is_allowed(estate: Estate, allowed: bool) -> None:
    estate.simulator.set_library(delete_blocked=allowed)
    estate.simulator.add_avatar(JOB, voice=False)
    estate.simulator.block_asset(ASSET)
    delete(estate)
    estate.later(66, 600, 61, 61, 61, 66, 600, DAY_S, DAY_S)
    expected = ("purged us", WHOLE) if allowed else ("blocked", "incomplete closed")
    assert (estate.parts()["model_asset"], estate.verdict()) == expected


# -- whose it is ---------------------------------------------------------------------------------------------------


def test_another_project_s_asset_is_named_and_never_touched(estate: Estate) -> None:
    estate.simulator.add_avatar(JOB, voice=False, asset_project=OTHER_PROJECT)
    delete(estate)
    estate.to_the_end()
    assert (estate.parts(), estate.verdict()) == ({"model_asset": "foreign"}, "partial closed")
    assert part(estate)["project_id"] == OTHER_PROJECT
    assert sent(estate, "asset") == {}


@pytest.mark.parametrize("how", ["shared", "system"])
def test_an_asset_that_is_only_shared_with_us_or_is_metastudio_s_is_never_touched(estate: Estate, how: str) -> None:
    shared = {"shared_with": (DEMO_PROJECT,)} if how == "shared" else {"system": True}
    estate.simulator.add_asset("asset-x", project=OTHER_PROJECT, **shared)  # type: ignore[arg-type]
    estate.simulator.add_job(JOB, asset_id="asset-x", project_id=DEMO_PROJECT)
    delete(estate)
    estate.to_the_end()
    assert (estate.parts(), estate.verdict()) == ({"model_asset": "foreign"}, "partial closed")
    assert sent(estate, "asset") == {}


def test_an_asset_that_does_not_say_whose_it_is_is_nobody_s(estate: Estate) -> None:
    estate.simulator.add_avatar(JOB, voice=False)
    estate.simulator.add_asset(ASSET, project_id=None)
    delete(estate)
    estate.to_the_end()
    assert (estate.parts(), estate.verdict()) == ({"model_asset": "kept"}, "partial closed")
    assert sent(estate, "asset") == {}


def test_an_asset_that_is_transferred_before_its_delete_is_left_alone(estate: Estate) -> None:
    estate.simulator.add_avatar(JOB, voice=False)
    delete(estate)
    estate.later(66)
    estate.simulator.transfer_asset(ASSET, OTHER_PROJECT)
    estate.to_the_end()
    assert sent(estate, "asset") == {}
    assert estate.simulator.assets()[OTHER_PROJECT] == {ASSET: "ACTIVED"}


def test_an_asset_of_two_jobs_is_a_person_s_decision(estate: Estate) -> None:
    estate.simulator.add_avatar(JOB, voice=False)
    estate.simulator.add_job("job-2", asset_id=ASSET, project_id=DEMO_PROJECT)
    delete(estate)
    delete(estate, "job-2")
    estate.to_the_end()
    for job in (JOB, "job-2"):
        assert estate.verdict(job) == "partial closed"
        assert part(estate, job=job)["why_not_own"] == "another job named it, too"
    assert sent(estate, "asset") == {}


def test_a_second_job_that_names_an_asset_stops_its_deletion(estate: Estate) -> None:
    estate.simulator.add_avatar(JOB, voice=False)
    delete(estate)
    estate.pass_time(661)
    estate.observer().work()
    assert deletion(estate) == "pending"
    estate.simulator.add_job("job-2", asset_id=ASSET, project_id=DEMO_PROJECT)
    estate.delete("job-2")
    assert deletion(estate) == "dead not_ours"
    assert sent(estate, "asset") == {}
    estate.to_the_end()
    assert estate.verdict() == "incomplete closed"


def test_a_voice_that_only_the_model_names_is_never_touched(estate: Estate) -> None:
    estate.simulator.add_asset("someone", "VOICE_MODEL")
    estate.simulator.add_job(JOB, asset_id=ASSET, project_id=DEMO_PROJECT)
    estate.simulator.add_asset(ASSET, voice_asset_id="someone")
    delete(estate)
    estate.to_the_end()
    assert estate.parts() == {"model_asset": "purged us"}
    assert state_of(estate, "someone") == "ACTIVED"


@pytest.mark.parametrize("named", ["job-of-another", None])
def test_a_voice_job_of_another_job_or_of_none_is_never_touched(estate: Estate, named: str | None) -> None:
    estate.simulator.add_avatar(JOB)
    estate.simulator.add_voice_job(VOICE, asset_id=VOICE_ASSET, dhtms_job_id=named)
    delete(estate)
    estate.to_the_end()
    assert estate.parts() == {"model_asset": "purged us", "voice_job": "kept", "voice_asset": "kept"}
    assert estate.verdict() == "partial closed"
    assert sent(estate, "voice_job") == {}
    assert sent(estate, "asset") == {ASSET: 1}


def test_an_asset_of_another_type_is_never_touched(estate: Estate) -> None:
    estate.simulator.add_avatar(JOB, voice=False)
    estate.simulator.add_asset(ASSET, "VIDEO of Mrs Example")
    delete(estate)
    estate.to_the_end()
    assert (estate.parts(), estate.verdict()) == ({"model_asset": "kept"}, "partial closed")
    assert sent(estate, "asset") == {}
    assert "Example" not in estate.everything_stored()


@pytest.mark.parametrize("bad", ["..", ".", "a/b", "x?mode=force", "Mrs Example"])
def test_an_odd_id_is_neither_kept_nor_sent(estate: Estate, bad: str) -> None:
    estate.simulator.add_job(JOB, asset_id=bad, voice_train_job_id=bad, project_id=DEMO_PROJECT)
    delete(estate)
    assert estate.ends(JOB) == "deleted"
    assert estate.erasure()["inventory"] == "none"
    estate.to_the_end()
    assert (estate.parts(), estate.verdict()) == ({}, "unverifiable closed")
    assert {call["kind"] for call in estate.simulator.calls()} == {"job"}
    assert json.dumps(bad) not in estate.everything_stored()


def test_an_odd_id_of_the_voice_s_asset_is_not_sent_and_the_rest_goes(estate: Estate) -> None:
    estate.simulator.add_avatar(JOB)
    estate.simulator.add_voice_job(VOICE, asset_id="..", dhtms_job_id=JOB)
    delete(estate)
    estate.to_the_end()
    assert estate.parts() == {"model_asset": "purged us", "voice_job": "absent_seen_before us"}
    assert estate.verdict() == "unverifiable closed"


def test_an_odd_project_is_neither_kept_nor_asked(estate: Estate) -> None:
    estate.simulator.add_job(JOB, asset_id=ASSET, project_id="../Mrs Example")
    delete(estate)
    assert (estate.ends(JOB), estate.erasure()["inventory"]) == ("deleted", "none")
    assert "Example" not in estate.everything_stored()


# -- app users and rights --------------------------------------------------------------------------------------------


def test_parts_are_looked_for_and_deleted_in_the_name_of_their_app_user(
    estate: Estate, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    estate.simulator.set_answers(isolate_app_users=True)
    estate.simulator.add_avatar(JOB, app_user_id="user-77")
    delete(estate, app_user="user-77")
    assert estate.erasure()["user"] == "user-77"
    estate.to_the_end()
    assert estate.parts() == {
        "model_asset": "purged us",
        "voice_job": "absent_seen_before us",
        "voice_asset": "purged us",
    }
    assert estate.verdict() == WHOLE
    assert "user-77" not in str(estate.receipts())
    assert "user-77" not in caplog.text
    stored = estate.everything_stored()
    assert "user-77" not in stored, "nobody needs the app user any more"
    assert estate.ledger.users.hashed("user-77") not in stored


def test_what_a_key_cannot_see_is_not_called_absent(estate: Estate) -> None:
    estate.simulator.add_avatar(JOB, voice=False)
    estate.delete(JOB)
    estate.simulator.set_credential(DEMO_AK, DEMO_SK, sees_library=False)
    estate.to_the_end()
    assert (estate.parts(), estate.verdict()) == ({"model_asset": "not_visible"}, "unverifiable closed")


@pytest.mark.parametrize("families", [["asset_read"], ["asset_read", "voice_read"]])
def test_a_family_without_rights_is_said_and_the_others_go_on(estate: Estate, families: list[str]) -> None:
    estate.simulator.deny(families)
    estate.simulator.add_avatar(JOB)
    delete(estate)
    assert estate.ends(JOB) == "deleted"
    assert estate.closures() == []
    estate.to_the_end()
    found = estate.parts()
    assert found["model_asset"] == "not_permitted"
    assert found.get("voice_job") == ("not_permitted" if len(families) > 1 else "absent_seen_before us")
    assert estate.verdict() == "unverifiable closed"
    assert sent(estate, "asset") == {}


def test_a_delete_without_the_right_is_a_dead_letter_and_closes_nothing_else(estate: Estate) -> None:
    estate.simulator.deny(["asset_delete"])
    estate.simulator.add_avatar(JOB)
    delete(estate)
    estate.later(66, 600, 61, 61, 61, 66, 600, DAY_S, DAY_S)
    assert estate.parts() == {"model_asset": "refused", "voice_job": "absent_seen_before us", "voice_asset": "refused"}
    assert estate.verdict() == "incomplete closed"
    estate.simulator.add_job("job-9")
    estate.delete("job-9", related="leave")
    assert estate.ends("job-9") == "deleted"


def test_a_429_of_a_look_stops_the_lookups_of_its_family_only(estate: Estate) -> None:
    estate.simulator.add_avatar(JOB)
    estate.delete(JOB)
    estate.simulator.fault("throttled", None, resource="asset", method="GET", times=1, retry_after_s=300)
    estate.later(66)
    assert estate.ledger.reserve_lookup(kind="model_asset") is None
    assert estate.ledger.reserve_lookup(kind="voice_job") is not None
    assert estate.ledger.reserve_lookup() is not None
    estate.pass_time(300)
    assert estate.ledger.reserve_lookup(kind="model_asset") is not None
    estate.to_the_end()
    assert estate.verdict() == "partial closed"


def test_nothing_that_describes_a_person_is_kept(estate: Estate, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    estate.simulator.add_avatar(JOB, cascade="bin", cascade_of="asset")
    delete(estate)
    estate.simulator.fault("error", VOICE, resource="voice_job", times=2)
    estate.to_the_end()
    for planted in CANARIES:
        assert planted not in estate.everything_stored()
        assert planted not in caplog.text


# -- a long silence --------------------------------------------------------------------------------------------------


def test_after_a_long_silence_two_looks_are_still_apart(estate: Estate) -> None:
    estate.simulator.set_library(tombstones=False)
    estate.simulator.add_avatar(JOB, voice=False, cascade="purge")
    estate.delete(JOB)
    estate.later(5 * DAY_S)
    assert (part(estate).get("absences"), estate.verdict()) == (1, "pending")
    estate.later(66)
    assert (estate.parts(), estate.verdict()) == ({"model_asset": "absent_seen_before service"}, WHOLE)


def test_what_never_answers_is_given_up_after_the_deadline(estate: Estate) -> None:
    estate.simulator.add_avatar(JOB, voice=False)
    estate.delete(JOB)
    estate.simulator.fault("error", None, resource="asset", method="GET", times=None)
    estate.later(66, 600, *[DAY_S] * 20)
    assert (estate.verdict(), estate.parts()) == ("pending", {"model_asset": "unknown"})
    looked = len(estate.simulator.calls(kind="asset"))
    estate.later(*[DAY_S] * 11)
    assert (estate.verdict(), estate.parts()) == ("unverifiable closed", {"model_asset": "unknown"})
    assert len(estate.simulator.calls(kind="asset")) - looked < 60


def test_who_asks_for_more_while_the_call_is_under_way_gets_it(estate: Estate, monkeypatch: pytest.MonkeyPatch) -> None:
    estate.simulator.add_avatar(JOB, voice=False)
    estate.request(JOB, related="verify", by="first")
    call = estate.client.delete

    def while_it_is_under_way(target: Target, **how: Any) -> Any:
        estate.request(JOB, related="delete", by="second")
        return call(target, **how)

    with monkeypatch.context() as patch:
        patch.setattr(estate.client, "delete", while_it_is_under_way)
        estate.go()
    assert estate.ends(JOB) == "deleted"
    assert estate.erasure()["related"] == "delete"
    estate.to_the_end()
    assert estate.parts() == {"model_asset": "purged us"}


# -- holds and cancels -----------------------------------------------------------------------------------------------


def wanted(estate: Estate) -> None:
    """The deletions of the parts are asked for, and none has begun."""
    delete(estate)
    estate.later(66)
    estate.pass_time(601)
    estate.observer().work()
    assert deletion(estate) == "pending"


def results(found: Any) -> list[str]:
    return [result for _, result in found]


TARGET = Target(DEMO_PROJECT, JOB)


def test_a_hold_of_the_job_stops_its_parts_and_its_end_lets_them_go_on(estate: Estate) -> None:
    estate.simulator.add_avatar(JOB)
    wanted(estate)
    holds = HoldList(estate.ledger)
    assert results(holds.add([TARGET], why="T-1", by="ops")) == ["parts_held"]
    names = (f"voice_job:{VOICE}", f"voice_asset:{VOICE_ASSET}", f"model_asset:{ASSET}")
    assert {deletion(estate, name) for name in names} == {"held"}
    estate.later(DAY_S, 60 * DAY_S)
    assert sent(estate, "asset") == sent(estate, "voice_job") == {}
    assert estate.verdict() == "pending"
    assert results(holds.remove([TARGET])) == ["parts_released"]
    estate.to_the_end()
    assert estate.verdict() == WHOLE


def test_no_part_of_a_job_on_hold_is_asked_for(estate: Estate) -> None:
    estate.simulator.add_avatar(JOB)
    delete(estate)
    holds = HoldList(estate.ledger)
    assert results(holds.add([TARGET], why="T-1", by="ops")) == ["parts_held"]
    estate.to_the_end()
    assert estate.verdict() == "pending"
    assert estate.record(f"model_asset:{ASSET}") == {}
    holds.remove([TARGET])
    estate.to_the_end()
    assert estate.verdict() == WHOLE


def test_a_hold_that_comes_while_somebody_looks_is_in_time(estate: Estate) -> None:
    estate.simulator.add_avatar(JOB)
    delete(estate)
    estate.later(66)
    estate.pass_time(601)
    leased, now = estate.ledger.lease_erasures()
    HoldList(estate.ledger).add([TARGET], why="T-1", by="ops")
    estate.observer()._look_at(leased, int(now))
    assert estate.record(f"model_asset:{ASSET}") == {}


@pytest.mark.parametrize("named", [True, False])
def test_a_hold_of_the_app_user_stops_the_parts_of_a_job_that_is_deleted(estate: Estate, named: bool) -> None:
    """Whether the request named the app user, or only MetaStudio's answer about the job did."""
    estate.simulator.add_avatar(JOB, app_user_id="user-77")
    delete(estate, app_user="user-77" if named else None)
    holds = HoldList(estate.ledger)
    holds.add_user("user-77", why="T-1", by="ops")
    estate.to_the_end()
    assert sent(estate, "asset") == sent(estate, "voice_job") == {}
    assert estate.verdict() == "pending"
    holds.remove_user("user-77")
    estate.later(DAY_S)
    estate.to_the_end()
    assert estate.verdict() == WHOLE


def test_a_hold_that_time_ends_lets_the_parts_go_on(estate: Estate) -> None:
    estate.simulator.add_avatar(JOB, voice=False)
    wanted(estate)
    holds = HoldList(estate.ledger)
    holds.add([TARGET], why="T-1", by="ops", until_ms=estate.ledger.now_ms() + 3_600_000)
    estate.later(3601)
    holds.release_in_time()
    estate.to_the_end()
    assert estate.verdict() == WHOLE


def test_a_cancel_of_a_deleted_job_withdraws_its_parts(estate: Estate) -> None:
    estate.simulator.add_avatar(JOB)
    wanted(estate)
    assert results(estate.ledger.cancel([TARGET], why="T-1", by="ops")) == ["parts_kept"]
    assert deletion(estate) == "cancelled"
    estate.to_the_end()
    assert sent(estate, "asset") == sent(estate, "voice_job") == {}
    assert estate.parts() == {"model_asset": "kept", "voice_job": "kept", "voice_asset": "kept"}
    assert estate.verdict() == "partial closed"
    assert estate.erasure()["related"] == "verify"
    assert results(estate.ledger.cancel([TARGET], why="T-1", by="ops")) == ["deleted"]


def test_a_cancel_that_comes_while_somebody_looks_is_in_time(estate: Estate) -> None:
    estate.simulator.add_avatar(JOB)
    delete(estate)
    estate.later(66)
    estate.pass_time(601)
    leased, now = estate.ledger.lease_erasures()
    estate.ledger.cancel([TARGET], why="T-1", by="ops")
    estate.observer()._look_at(leased, int(now))
    estate.to_the_end()
    assert estate.record(f"model_asset:{ASSET}") == {}
    assert estate.verdict() == "partial closed"


def test_a_part_that_a_person_asked_for_by_himself_is_not_withdrawn_with_the_job(estate: Estate) -> None:
    estate.simulator.add_avatar(JOB, voice=False)
    wanted(estate)
    estate.ledger.request([Target(DEMO_PROJECT, ASSET, "model_asset")], DeletionRequest(lane=Lane.USER, by="ops"))
    estate.ledger.cancel([TARGET], why="T-1", by="ops")
    estate.to_the_end()
    assert (estate.parts(), state_of(estate)) == ({"model_asset": "purged us"}, "DELETED")


def test_no_part_goes_while_its_job_is_to_be_deleted_again(estate: Estate) -> None:
    estate.simulator.add_avatar(JOB, voice=False)
    wanted(estate)
    estate.simulator.add_job(JOB, "TRAINING", asset_id=ASSET, project_id=DEMO_PROJECT)  # it is there again
    estate.request(JOB, force=True)
    estate.later(66, 600)
    assert estate.ends(JOB).startswith("pending")
    assert sent(estate, "asset") == {}
    estate.simulator.move_job(JOB, "JOB_SUCCESS")
    estate.later(600, 600, 61, 61)
    estate.to_the_end()
    assert estate.verdict() == WHOLE


# -- a part that fails -------------------------------------------------------------------------------------------------


def test_a_dead_part_leaves_the_erasure_incomplete_and_its_replay_ends_it_whole(estate: Estate) -> None:
    estate.simulator.add_avatar(JOB, voice=False)
    estate.simulator.fault("error", ASSET, resource="asset", times=None)
    delete(estate)
    estate.later(66, 600, 61, 61, 61, 66, 600, DAY_S, DAY_S)
    assert deletion(estate) == "dead server_error"
    assert (estate.parts(), estate.verdict()) == ({"model_asset": "refused"}, "incomplete closed")
    assert estate.redis.zcard(estate.ledger.prefix + "left") == 1
    estate.simulator.clear_faults()
    estate.ledger.replay([Target(DEMO_PROJECT, ASSET, "model_asset")], why="T-1", deadline_s=DAY_S)
    assert estate.verdict() == "pending"
    estate.to_the_end()
    assert (estate.parts(), estate.verdict()) == ({"model_asset": "purged us"}, WHOLE)
    assert estate.redis.zcard(estate.ledger.prefix + "left") == 0


def test_the_replay_of_a_part_waits_while_its_job_is_on_hold(estate: Estate) -> None:
    estate.simulator.add_avatar(JOB, voice=False)
    estate.simulator.fault("error", ASSET, resource="asset", times=None)
    delete(estate)
    estate.later(66, 600, 61, 61, 61, 66, 600, DAY_S, DAY_S)
    estate.simulator.clear_faults()
    before = sent(estate, "asset")
    holds = HoldList(estate.ledger)
    holds.add([TARGET], why="T-1", by="ops")
    estate.ledger.replay([Target(DEMO_PROJECT, ASSET, "model_asset")], why="T-1", deadline_s=30 * DAY_S)
    estate.to_the_end()
    assert (deletion(estate), sent(estate, "asset")) == ("held", before)
    assert results(holds.remove([TARGET])) == ["parts_released"]
    estate.to_the_end()
    assert estate.verdict() == WHOLE


def test_a_look_that_was_under_way_when_a_part_ended_counts_for_nothing(estate: Estate) -> None:
    estate.simulator.add_avatar(JOB, voice=False)
    wanted(estate)
    estate.pass_time(DAY_S)
    leased, now = estate.ledger.lease_erasures()
    estate.work(remote=estate.client, related="delete", first_look_s=60.0)
    assert deletion(estate) == "deleted"
    estate.observer()._look_at(leased, int(now))
    assert estate.erasure()["looks"] == "0"
    estate.to_the_end()
    assert estate.verdict() == WHOLE


# -- what somebody damaged ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "parts",
    [
        "no json",
        "{}",
        '["x"]',
        '[{"part": "model_asset"}]',
        '[{"part": "spaceship", "id": "a", "project_id": "p", "named_by": "job"}]',
        '[{"part": "model_asset", "id": "..", "project_id": "p", "named_by": "job"}]',
        '[{"part": "model_asset", "id": "a", "project_id": "p", "named_by": "job", "calls": "many"}]',
        '[{"part": "model_asset", "id": "a", "project_id": "p", "named_by": "job", "verified_at": 7}]',
    ],
)
def test_parts_that_make_no_sense_are_put_aside_and_stop_nobody(estate: Estate, parts: str) -> None:
    estate.simulator.add_avatar(JOB, voice=False)
    estate.simulator.add_avatar("job-2", voice=False)
    delete(estate)
    delete(estate, "job-2")
    estate.redis.hset(f"{estate.ledger.prefix}erasure:{TARGET}", "parts", parts)
    estate.to_the_end()
    assert estate.verdict() == "unverifiable closed"
    assert estate.verdict("job-2") == WHOLE
    name = f"erasure:{TARGET}"
    assert estate.redis.hexists(estate.ledger.prefix + "damaged", name)
    assert estate.redis.get(f"{estate.ledger.prefix}aside:{name}") == parts.encode()
    assert sent(estate, "asset") == {"asset-job-2": 1}


def test_an_index_that_names_what_nobody_knows_stops_nobody(estate: Estate) -> None:
    estate.simulator.add_avatar(JOB, voice=False)
    estate.delete(JOB)
    estate.redis.zadd(estate.ledger.prefix + "erasures", {f"{DEMO_PROJECT}/ghost": 1, "no ref": 2})
    estate.to_the_end()
    assert estate.verdict() == "partial closed"
    assert estate.redis.zcard(estate.ledger.prefix + "erasures") == 0


def test_a_check_finds_an_erasure_that_stands_in_no_index(estate: Estate) -> None:
    estate.simulator.add_avatar(JOB, voice=False)
    estate.delete(JOB)
    estate.redis.zrem(estate.ledger.prefix + "erasures", str(TARGET))
    check(estate.ledger, [TARGET], keys=True)
    estate.to_the_end()
    assert estate.verdict() == "partial closed"
