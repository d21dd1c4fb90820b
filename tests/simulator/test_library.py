"""The simulator has what a training job leaves behind: assets and voice jobs, each with its calls."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tests.support.caller import Caller
from tests.support.library import LibraryCaller
from tests.support.waiting import wait_until
from worker.model.errors import UsageError
from worker.simulator import CANARIES, DEMO_AK, Controls, Simulator, SimulatorControl

# an avatar's parts are linked


def test_a_job_names_its_asset_and_its_voice_job_which_name_each_other(
    simulator: Simulator, caller: Caller, library: LibraryCaller
) -> None:
    ids = simulator.add_avatar("job-1")
    assert ids == {"asset_id": "asset-job-1", "voice_job_id": "voice-job-1", "voice_asset_id": "voice-asset-job-1"}
    job, row = caller.show("job-1").json, caller.list().json["jobs"][0]
    links = (job["asset_id"], job["voice_train_job_id"], job["project_id"])
    assert links == ("asset-job-1", "voice-job-1", simulator.project)
    assert row["asset_id"] == "asset-job-1"
    assert "voice_train_job_id" not in row
    model = library.show("asset-job-1").json
    assert (model["asset_type"], model["asset_state"], model["project_id"]) == (
        "HUMAN_MODEL_2D",
        "ACTIVED",
        simulator.project,
    )
    assert model["asset_extra_meta"]["human_model_2d_meta"]["voice_asset_id"] == "voice-asset-job-1"
    assert "voice_asset_id" not in model
    voice = library.show_voice("voice-job-1").json
    assert (voice["dhtms_job_id"], voice["asset_id"], voice["state"]) == ("job-1", "voice-asset-job-1", "SUCCEED")
    assert library.show("voice-asset-job-1").json["asset_type"] == "VOICE_MODEL"


def test_a_job_without_parts_names_none(simulator: Simulator, caller: Caller) -> None:
    simulator.add_job("job-1")
    simulator.add_avatar("job-2", voice=False)
    assert not {"asset_id", "voice_train_job_id"} & caller.show("job-1").json.keys()
    shown = caller.show("job-2").json
    assert shown["asset_id"] == "asset-job-2"
    assert "voice_train_job_id" not in shown
    assert simulator.voice_jobs() == {}


def test_show_and_list_of_a_job_may_differ_in_what_they_name(simulator: Simulator, caller: Caller) -> None:
    simulator.add_avatar("job-1", voice=False, not_shown=["asset_id"])
    simulator.add_avatar("job-2", voice=False, not_listed=["asset_id"])
    rows = {row["job_id"]: row for row in caller.list().json["jobs"]}
    shown = {job_id: caller.show(job_id).json for job_id in rows}
    assert [row.get("asset_id") for row in rows.values()] == ["asset-job-1", None]
    assert [job.get("asset_id") for job in shown.values()] == [None, "asset-job-2"]
    assert not any({"not_shown", "not_listed"} & each.keys() for each in (*rows.values(), *shown.values()))


def test_a_voice_job_that_has_not_succeeded_names_no_asset(simulator: Simulator, library: LibraryCaller) -> None:
    simulator.add_voice_job("voice-1", "PROCESSING", asset_id="asset-1", dhtms_job_id="job-1")
    shown = library.show_voice("voice-1").json
    assert (shown["dhtms_job_id"], shown.get("asset_id")) == ("job-1", None)


def test_deleting_a_job_leaves_its_parts(simulator: Simulator, caller: Caller) -> None:
    simulator.add_avatar("job-1")
    assert caller.delete("job-1").status == 200
    assert simulator.assets() == {simulator.project: {"voice-asset-job-1": "ACTIVED", "asset-job-1": "ACTIVED"}}
    assert simulator.voice_jobs() == {simulator.project: {"voice-job-1": "SUCCEED"}}


def test_every_answer_about_a_part_carries_planted_personal_data(
    simulator: Simulator, caller: Caller, library: LibraryCaller
) -> None:
    simulator.add_avatar("job-1")
    for path in (f"{caller.assets}/asset-job-1", caller.assets, f"{caller.voice_jobs}/voice-job-1", caller.voice_jobs):
        text = caller.send("GET", path).body.decode()
        assert [canary for canary in CANARIES if canary not in text] == []
    blank = library.update("asset-job-1", asset_name="none", asset_description="", tags=[]).json
    assert (blank["asset_name"], blank["asset_description"], blank["tags"]) == ("none", "", [])


# assets: delete, bin, restore, update


def test_a_delete_without_mode_goes_to_the_bin_and_comes_back_by_restore(
    simulator: Simulator, library: LibraryCaller
) -> None:
    simulator.add_asset("a", asset_state="UNACTIVED")
    deleted = library.delete("a")
    assert (deleted.status, deleted.body, len(deleted.headers["x-request-id"])) == (200, b"", 32)
    assert library.state("a") == "DELETING"
    assert library.delete("a").status == 400
    assert library.restore("a").status == 200
    assert library.state("a") == "UNACTIVED"
    assert library.restore("a").status == 400
    assert simulator.tally() == {
        simulator.project: {"asset:a": {"added": {"operator": 1}, "binned": {DEMO_AK: 1}, "restored": {DEMO_AK: 1}}}
    }


def test_a_forced_delete_is_for_good_and_its_files_are_gone(simulator: Simulator, library: LibraryCaller) -> None:
    simulator.add_asset("a", asset_state="UNACTIVED")
    assert {file["state"] for file in library.show("a").json["files"]} == {"UPLOADED"}
    assert library.delete("a", "force").status == 200
    shown = library.show("a").json
    assert shown["asset_state"] == "DELETED"
    assert {file["state"] for file in shown["files"]} == {"DELETED"}
    assert not any("download_url" in file for file in shown["files"])
    again = library.delete("a", "force")
    assert (again.status, again.code, again.message) == (400, "MSS.10001001", "Asset not found")
    assert library.restore("a").status == 400
    assert (simulator.effects("asset"), simulator.deletes("asset")) == ({"a": 1}, {"a": 2})
    assert (simulator.effects(), simulator.deletes()) == ({}, {})


def test_a_mode_that_is_not_documented_is_refused(simulator: Simulator, library: LibraryCaller) -> None:
    simulator.add_asset("a", asset_state="UNACTIVED")
    assert library.delete("a", "soft").code == "MSS.00000003"
    assert library.state("a") == "UNACTIVED"


@pytest.mark.parametrize(
    ("before", "wanted", "status"),
    [
        ("ACTIVED", "UNACTIVED", 200),
        ("UNACTIVED", "ACTIVED", 200),
        ("ACTIVED", "WAITING_DELETE", 200),
        ("ACTIVED", "DELETED", 400),
        ("ACTIVED", "BLOCK", 400),
        ("DELETED", "UNACTIVED", 400),
        ("DELETING", "ACTIVED", 400),
        ("BLOCK", "UNACTIVED", 400),
        ("CREATING", "ACTIVED", 400),
    ],
)
def test_an_update_sets_the_documented_states(
    simulator: Simulator, before: str, wanted: str, status: int, library: LibraryCaller
) -> None:
    simulator.add_asset("a", asset_state=before)
    response = library.update("a", asset_state=wanted)
    assert response.status == status
    assert library.state("a") == (wanted if status == 200 else before)
    if status == 200:
        assert response.json["asset_state"] == wanted


@pytest.mark.parametrize("body", [b"", b"{}", b"[1]", b"{", b'{"asset_state": 7}'])
def test_an_update_of_nothing_is_refused(simulator: Simulator, caller: Caller, body: bytes) -> None:
    simulator.add_asset("a")
    assert caller.send("PUT", f"{caller.assets}/a", body).code == "MSS.00000003"


def test_an_asset_that_does_not_exist_is_not_found_by_any_call(library: LibraryCaller) -> None:
    answers = [
        library.show("nobody"),
        library.delete("nobody", "force"),
        library.update("nobody", asset_state="UNACTIVED"),
        library.restore("nobody"),
    ]
    assert {(each.status, each.code) for each in answers} == {(400, "MSS.10001001")}
    assert library.list(("asset_id", "nobody")) == []


# assets: lists


@pytest.fixture
def shelf(simulator: Simulator) -> Simulator:
    """Four of our own, one that is shared with us and one of MetaStudio's."""
    at = [datetime(2025, month, 1, tzinfo=UTC).timestamp() for month in (1, 2, 3, 4)]
    simulator.add_asset("a", created_at=at[0], updated_at=at[3], shared_with=["partner"])
    simulator.add_asset("b", "VOICE_MODEL", "UNACTIVED", created_at=at[1], updated_at=at[2])
    simulator.add_asset("c", "VIDEO", "DELETING", created_at=at[2], updated_at=at[1])
    simulator.add_asset("d", asset_state="DELETED", created_at=at[3], updated_at=at[0])
    simulator.add_asset("of-partner", project="partner", shared_with=[simulator.project])
    simulator.add_asset("of-metastudio", project="metastudio", system=True)
    simulator.add_asset("hidden", project="partner")
    return simulator


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ([], ["a", "b", "c", "d"]),
        ([("asset_id", "a"), ("asset_id", "c"), ("asset_id", "nobody")], ["a", "c"]),
        ([("asset_id", "of-partner")], []),
        ([("asset_state", "DELETING,DELETED")], ["c", "d"]),
        ([("asset_state", "ACTIVED"), ("asset_id", "b")], []),
        ([("asset_type", "VOICE_MODEL,VIDEO")], ["b", "c"]),
        ([("role", "SHARER")], ["a"]),
        ([("role", "SHAREE")], ["of-partner"]),
        ([("asset_source", "SYSTEM")], ["of-metastudio"]),
        ([("asset_source", "ALL"), ("sort_dir", "asc")], ["a", "b", "c", "d", "of-metastudio"]),
        ([("sort_key", "update_time")], ["d", "c", "b", "a"]),
        ([("sort_dir", "desc"), ("limit", 2)], ["d", "c"]),
        ([("offset", 3), ("limit", 100)], ["d"]),
        ([("start_time", "2025-02-01T00:00:00Z"), ("end_time", "2025-03-01T00:00:00Z")], ["b", "c"]),
        ([("name", " b")], ["b"]),
    ],
)
def test_a_list_of_assets_filters_sorts_and_pages(
    shelf: Simulator, query: list[tuple[str, object]], expected: list[str]
) -> None:
    assert LibraryCaller(Caller.of(shelf)).list(*query) == expected


def test_a_list_of_assets_counts_all_that_match(simulator: Simulator, caller: Caller, library: LibraryCaller) -> None:
    simulator.put_assets([{"asset_id": f"asset-{n:03d}"} for n in range(120)])
    response = caller.send("GET", caller.assets).json
    assert (response["count"], len(response["assets"])) == (120, 10)
    ids = [("asset_id", f"asset-{n:03d}") for n in range(20, 120)]
    assert len(library.list(*ids, ("limit", 100))) == 100


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "offset=-1", "sort_dir=up", "role=OWNER", "start_time=now"])
def test_a_list_of_assets_refuses_what_is_out_of_range(shelf: Simulator, query: str) -> None:
    caller = Caller.of(shelf)
    assert caller.send("GET", f"{caller.assets}?{query}").code == "MSS.00000003"


def test_a_summary_names_states_of_the_assets_that_exist(shelf: Simulator) -> None:
    library = LibraryCaller(Caller.of(shelf))
    rows = library.summarize("a", "nobody", "d").json["asset_list"]
    assert [(row["asset_id"], row["asset_state"], row["asset_type"]) for row in rows] == [
        ("a", "ACTIVED", "HUMAN_MODEL_2D"),
        ("d", "DELETED", "HUMAN_MODEL_2D"),
    ]
    assert library.summarize().code == "MSS.00000003"


# voice jobs


def test_a_voice_job_is_shown_listed_and_deleted(simulator: Simulator, caller: Caller, library: LibraryCaller) -> None:
    simulator.add_voice_job("v1", created_at=1000.0)
    simulator.add_voice_job("v2", "PROCESSING", created_at=2000.0)
    assert library.list_voices() == ["v2", "v1"]
    assert library.list_voices("job_id=v1") == ["v1"]
    assert library.list_voices("state=PROCESSING,FAILED") == ["v2"]
    assert library.list_voices("sort_dir=asc&limit=1&offset=1") == ["v2"]
    deleted = library.delete_voice("v1")
    assert (deleted.status, deleted.body) == (200, b"")
    for again in (library.show_voice("v1"), library.delete_voice("v1")):
        assert (again.status, again.code) == (400, "MSS.00000003")
    assert library.list_voices() == ["v2"]
    assert caller.send("GET", f"{caller.voice_jobs}?limit=0").code == "MSS.00000003"
    assert simulator.tally()[simulator.project]["voice_job:v1"] == {"added": {"operator": 1}, "deleted": {DEMO_AK: 1}}
    assert simulator.effects("voice_job") == {"v1": 1}


# paths, projects and the log


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("DELETE", "{assets}"),
        ("DELETE", "{assets}/"),
        ("DELETE", "{assets}/a/b"),
        ("GET", "{assets}/a/restore"),
        ("POST", "{assets}"),
        ("POST", "{assets}/a"),
        ("PUT", "{assets}"),
        ("DELETE", "{voice_jobs}"),
        ("DELETE", "{voice_jobs}/"),
        ("PUT", "{voice_jobs}/v"),
        ("POST", "{voice_jobs}/v/restore"),
    ],
)
def test_another_path_or_method_is_an_api_that_does_not_exist(caller: Caller, method: str, path: str) -> None:
    response = caller.send(method, path.format(assets=caller.assets, voice_jobs=caller.voice_jobs))
    assert (response.status, response.code) == (404, "APIGW.0101")


def test_the_log_knows_kind_and_id_of_each_call(simulator: Simulator, caller: Caller, library: LibraryCaller) -> None:
    simulator.add_avatar("job-1", asset_state="UNACTIVED")
    caller.show("job-1")
    library.list(("asset_id", "a"), ("asset_id", "b"))
    library.list(("asset_id", "a"))
    library.delete("asset-job-1", "force")
    library.update("asset-job-1", asset_state="ACTIVED")
    library.delete_voice("voice-job-1")
    names = ("operation", "kind", "id", "job_id", "status", "effect", "query")
    assert [tuple(call[name] for name in names) for call in simulator.calls()] == [
        ("show", "job", "job-1", "job-1", 200, False, ""),
        ("list", "asset", None, None, 200, False, "asset_id=a&asset_id=b"),
        ("list", "asset", "a", None, 200, False, "asset_id=a"),
        ("delete", "asset", "asset-job-1", None, 200, True, "mode=force"),
        ("update", "asset", "asset-job-1", None, 400, False, ""),
        ("delete", "voice_job", "voice-job-1", None, 200, True, ""),
    ]
    assert [call["n"] for call in simulator.calls(kind="asset", id="asset-job-1")] == [4, 5]
    assert [call["n"] for call in simulator.calls(kind="voice_job")] == [6]
    assert [call["n"] for call in simulator.calls(job_id="job-1")] == [1]
    stats = simulator.stats()
    assert stats["by_operation"] == {
        "show": 1,
        "asset.list": 2,
        "asset.delete": 1,
        "asset.update": 1,
        "voice_job.delete": 1,
    }
    assert set(stats["peak_per_second"][simulator.project]) == {
        "GET",
        "asset_read",
        "asset_delete",
        "asset_update",
        "voice_delete",
    }
    assert (stats["effects"], stats["most_deletes_of_a_job"]) == (0, 0)


def test_two_changes_of_one_asset_at_the_same_time_are_counted(simulator: Simulator, library: LibraryCaller) -> None:
    simulator.add_asset("a", asset_state="UNACTIVED")
    simulator.fault("hang", "a", resource="asset", method="PUT")
    caller = library.caller
    with caller.connect() as line:
        line.sendall(caller.bytes("PUT", f"{caller.assets}/a", b'{"asset_state": "ACTIVED"}'))
        wait_until(lambda: simulator.stats()["under_way"] == 1)
        library.show("a")
        assert simulator.stats()["overlaps"] == {}
        library.delete("a")
    assert (simulator.stats()["overlaps"], simulator.stats()["max_overlap"]) == ({"asset:a": 2}, 2)


def test_an_event_names_its_call_and_who_called(simulator: Simulator, library: LibraryCaller) -> None:
    simulator.add_asset("a")
    simulator.add_asset("another")
    simulator.set_credential("AK2", "SK2")
    LibraryCaller(Caller.of(simulator, ak="AK2", sk="SK2")).update("a", asset_state="UNACTIVED")
    library.delete("a")
    simulator.restore_asset("a")
    simulator.move_asset("a", "DELETED")
    events = [(event["what"], event["by"], event["call"]) for event in simulator.events(id="a")]
    assert events == [
        ("added", "operator", None),
        ("deactivated", "AK2", 1),
        ("binned", DEMO_AK, 2),
        ("restored", "operator", None),
        ("purged", "operator", None),
    ]
    assert [event["n"] for event in simulator.events(since=4)] == [5, 6]


@pytest.mark.parametrize("over_http", [False, True], ids=["in this process", "over HTTP"])
@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("put_assets", {"assets": [{"id": "a"}]}, "asset_id"),
        ("put_assets", {"assets": [{"asset_id": "a", "created_at": "now"}]}, "Unix times"),
        ("put_voice_jobs", {"jobs": ["v"]}, "job_id"),
        ("put_avatars", {"avatars": {"job_id": "j"}}, "use a list"),
        ("move_asset", {"asset_id": "nobody", "asset_state": "ACTIVED"}, "nobody"),
        ("restore_asset", {"asset_id": "a"}, "not in the bin"),
        ("unblock_asset", {"asset_id": "a"}, "not blocked"),
    ],
)
def test_a_library_command_that_makes_no_sense_says_what_would(
    simulator: Simulator, over_http: bool, name: str, arguments: dict[str, object], message: str
) -> None:
    simulator.add_asset("a")
    control: Controls = SimulatorControl(simulator.url) if over_http else simulator
    with pytest.raises(UsageError, match=message):
        control._run(name, arguments)


def test_the_commands_work_from_another_process_too(
    simulator: Simulator, caller: Caller, library: LibraryCaller
) -> None:
    control = SimulatorControl(simulator.url)
    control.add_avatar("job-1", "JOB_FINISH", voice=False, asset_id="model-1", asset_project="other", app_user_id="u")
    assert caller.show("job-1").json["project_id"] == "other"
    assert control.assets() == {"other": {"model-1": "ACTIVED"}}
    assert library.show("model-1").code == "MSS.10001001"
    control.reset()
    assert (control.assets(), control.tally(), control.job_ids()) == ({}, {}, [])
