"""The simulator answers like MetaStudio: delete, show, list, states, projects, throttling, and the HTTP underneath."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.support.caller import NEVER_THAT_LONG, Caller, read_answer
from tests.support.waiting import wait_until
from worker.metastudio.targets import avatar_job
from worker.model.errors import UsageError
from worker.simulator import CANARIES, DEMO_AK, DEMO_PROJECT, DEMO_SK, Simulator, SimulatorControl
from worker.simulator.__main__ import main
from worker.simulator.jobs import Job
from worker.simulator.limits import Peak, SlidingWindow
from worker.simulator.simulator import read_jobs


def listed(caller: Caller, query: str) -> list[str]:
    response = caller.list(query)
    assert response.status == 200, response.body
    return [row["job_id"] for row in response.json["jobs"]]


# delete


def test_a_deletion_is_answered_by_an_empty_200_with_a_request_id(simulator: Simulator, caller: Caller) -> None:
    simulator.add_job("job-1")
    response = caller.delete("job-1")
    assert (response.status, response.body) == (200, b"")
    assert re.fullmatch("[0-9a-f]{32}", response.headers["x-request-id"])
    assert simulator.job_ids() == []


def test_a_deleted_job_is_in_no_answer_and_cannot_be_deleted_twice(simulator: Simulator, caller: Caller) -> None:
    simulator.add_job("job-1")
    assert [caller.delete("job-1").status, caller.delete("job-1").status] == [200, 400]
    assert caller.show("job-1").status == 400
    assert caller.list("job_id=job-1").json == {"count": 0, "jobs": []}
    assert simulator.effects() == {"job-1": 1}


@pytest.mark.parametrize("job_state", sorted(avatar_job.STATES))
def test_exactly_the_deletable_states_are_deleted(simulator: Simulator, caller: Caller, job_state: str) -> None:
    simulator.add_job("job-1", job_state)
    assert caller.delete("job-1").status == (200 if job_state in avatar_job.DELETABLE else 400)


@pytest.mark.parametrize(
    ("choice", "status", "code"),
    [("400", 400, "MSS.00000003"), ("404", 404, "MSS.00000003"), ("500", 500, "MSS.00000004")],
)
def test_absent_and_not_deletable_jobs_are_answered_as_chosen(
    simulator: Simulator, caller: Caller, choice: str, status: int, code: str
) -> None:
    simulator.add_job("busy", "TRAINING")
    simulator.set_answers(absent=choice)
    absent, busy = caller.delete("nobody"), caller.delete("busy")
    assert (absent.status, absent.code) == (status, code)
    assert (busy.status, busy.code) == (400, "MSS.00000003")
    simulator.set_answers(not_deletable=choice)
    busy = caller.delete("busy")
    assert (busy.status, busy.code) == (status, code)
    assert simulator.job_ids() == ["busy"]


def test_a_job_moves_through_its_states_with_time(simulator: Simulator, caller: Caller) -> None:
    job = Job("j", "p", "TRAINING", 100.0, 0.0, 0.0, ((5.0, "TRAIN_SUCCESS"), (9.0, "JOB_SUCCESS")))
    assert [job.state_at(t) for t in (100.0, 104.9, 105.0, 109.0)] == [
        "TRAINING",
        "TRAINING",
        "TRAIN_SUCCESS",
        "JOB_SUCCESS",
    ]
    simulator.add_job("job-1", "TRAINING", moves=[(0.0, "TRAIN_SUCCESS"), (3600.0, "JOB_SUCCESS")])
    assert caller.show("job-1").json["state"] == "TRAIN_SUCCESS"
    assert caller.delete("job-1").status == 400
    simulator.move_job("job-1", "JOB_SUCCESS")
    assert caller.delete("job-1").status == 200


# show and list


def test_show_and_list_carry_planted_personal_data(simulator: Simulator, caller: Caller) -> None:
    simulator.add_job("job-1", asset_id="asset-7", voice_train_job_id="voice-7", app_user_id="user-42")
    shown, row = caller.show("job-1"), caller.list().json["jobs"][0]
    assert all(canary in shown.body.decode() for canary in CANARIES)
    assert row["contact"].startswith(CANARIES[0])
    assert shown.json["voice_train_job_id"] == "voice-7"
    assert "voice_train_job_id" not in row
    assert "id_card_image1_download_url" not in row
    assert (row["asset_id"], row["app_user_id"], row["state"]) == ("asset-7", "user-42", "JOB_SUCCESS")


@pytest.fixture
def shelf(simulator: Simulator) -> Simulator:
    """Three jobs that differ in everything a List can ask for."""
    at = [datetime(2025, month, 1, tzinfo=UTC).timestamp() for month in (1, 2, 3)]
    simulator.add_job("a", "JOB_SUCCESS", created_at=at[0], updated_at=at[2], name="n 1", batch_name="b1", tags=["x"])
    simulator.add_job("b", "JOB_FINISH", created_at=at[1], updated_at=at[1], is_flexus=True, model_resolution="4K")
    simulator.add_job("c", "TRAINING", created_at=at[2], updated_at=at[0], tags=["x", "y"], asset_id="0-first")
    return simulator


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", "abc"),
        ("sort_dir=desc", "cba"),
        ("sort_key=update_time", "cba"),
        ("sort_key=asset_order", "cab"),
        ("state=JOB_SUCCESS", "a"),
        ("state=JOB_FINISH%2CTRAINING", "bc"),
        ("state=JOB_FINISH,JOB_SUCCESS&sort_dir=desc", "ba"),
        ("job_id=b", "b"),
        ("job_id=B", ""),
        ("job_id=b&state=TRAINING", ""),
        ("name=n%201", "a"),
        ("batch_name=b1", "a"),
        ("tag=x", "ac"),
        ("tag=z", ""),
        ("model_resolution=4K", "b"),
        ("model_resolution=1080P", "ac"),
        ("is_flexus=true", "b"),
        ("is_flexus=false", "ac"),
        ("is_live_copy=false&is_ondemand_resource=false", "abc"),
        ("create_since=2025-02-01T00:00:00Z", "bc"),
        ("create_until=2025-02-01T00:00:00Z", "ab"),
        ("create_since=2025-01-15T00:00:00Z&create_until=2025-02-15T00:00:00%2B00:00", "b"),
        ("update_since=2025-02-01T00:00:00Z", "ab"),
        ("update_until=2025-01-31T23:59:59Z", "c"),
        ("limit=2", "ab"),
        ("limit=2&offset=2", "c"),
        ("offset=3", ""),
    ],
)
def test_a_list_filters_sorts_and_pages(shelf: Simulator, query: str, expected: str) -> None:
    assert "".join(listed(Caller.of(shelf), query)) == expected


def test_count_is_the_number_of_all_that_match_and_the_default_page_has_ten() -> None:
    with Simulator(jobs=25) as simulator:
        response = Caller.of(simulator).list().json
        assert (response["count"], len(response["jobs"])) == (25, 10)
        assert len(Caller.of(simulator).list("limit=100").json["jobs"]) == 25
        assert Caller.of(simulator).list("offset=24").json["jobs"][0]["job_id"] == "job-00025"


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=101",
        "limit=ten",
        "limit=-1",
        "offset=-1",
        "offset=2147483648",
        "sort_key=name",
        "sort_dir=up",
        "is_flexus=yes",
        "create_since=yesterday",
    ],
)
def test_a_list_parameter_out_of_range_is_an_invalid_parameter(caller: Caller, query: str) -> None:
    response = caller.list(query)
    assert (response.status, response.code, response.message) == (400, "MSS.00000003", "Invalid parameter")


def test_preloaded_jobs_are_spread_over_the_past_oldest_first() -> None:
    with Simulator(jobs=3) as simulator:
        rows = Caller.of(simulator).list().json["jobs"]
        created = [datetime.fromisoformat(row["create_time"]) for row in rows]
        assert [row["job_id"] for row in rows] == ["job-00001", "job-00002", "job-00003"]
        assert [(later - earlier).days for earlier, later in pairwise(created)] == [121, 121]


# projects, users, unknown paths


def test_a_project_that_is_not_the_credentials_is_refused(simulator: Simulator) -> None:
    simulator.add_job("job-1", project="other")
    response = Caller.of(simulator, project="other").delete("job-1")
    assert (response.status, response.code) == (400, "MSS.00010009")
    assert simulator.job_ids("other") == ["job-1"]


def test_a_call_without_project_header_is_refused(simulator: Simulator, caller: Caller) -> None:
    simulator.add_job("job-1")
    caller.extra["X-Project-Id"] = "another"
    assert caller.delete("job-1").code == "MSS.00010009"


def test_jobs_of_another_project_are_not_found(simulator: Simulator, caller: Caller) -> None:
    simulator.set_credential("AK2", "SK2", projects=["other"])
    simulator.add_job("job-1")
    other = Caller.of(simulator, ak="AK2", sk="SK2", project="other")
    assert (other.delete("job-1").status, other.list().json["count"]) == (400, 0)
    assert caller.list().json["count"] == 1


def test_isolation_hides_the_jobs_of_an_app_user(simulator: Simulator, caller: Caller) -> None:
    simulator.add_job("job-1", app_user_id="user-42")
    assert caller.list().json["count"] == 1
    simulator.set_answers(isolate_app_users=True)
    assert (caller.list().json["count"], caller.delete("job-1").status) == (0, 400)
    caller.extra["X-App-UserId"] = "user-42"
    assert (caller.list().json["count"], caller.delete("job-1").status) == (1, 200)
    assert simulator.calls()[-1]["app_user"] == "user-42"


def test_a_sub_account_may_see_no_job_at_all(simulator: Simulator) -> None:
    simulator.add_job("job-1")
    simulator.set_credential("AK2", "SK2", sees_jobs=False)
    blind = Caller.of(simulator, ak="AK2", sk="SK2")
    assert (blind.list().json["count"], blind.show("job-1").status, blind.delete("job-1").status) == (0, 400, 400)


@pytest.mark.parametrize("path", ["/", "/v1/p/else", "{jobs}/", "{jobs}/a/b", "/v1/p/user/jobs/1"])
def test_another_path_is_an_api_that_does_not_exist(caller: Caller, path: str) -> None:
    response = caller.send("DELETE", path.format(jobs=caller.jobs))
    assert (response.status, response.code) == (404, "APIGW.0101")


def test_deleting_the_collection_is_no_api(simulator: Simulator, caller: Caller) -> None:
    simulator.add_job("job-1")
    assert caller.send("DELETE", caller.jobs).code == "APIGW.0101"
    assert caller.send("POST", caller.jobs, b"{}").code == "APIGW.0101"
    assert simulator.job_ids() == ["job-1"]


# throttling


def test_a_sliding_window_lets_no_more_through_than_its_limit_in_any_second() -> None:
    window = SlidingWindow(2)
    assert [window.admits(t) for t in (0.0, 0.75, 0.875, 1.0, 1.25, 1.75)] == [True, True, False, True, False, True]


def test_a_peak_is_the_most_arrivals_in_any_sliding_second() -> None:
    peak = Peak()
    for moment in (0.0, 0.6, 0.7, 1.5, 1.6, 1.65, 9.0):
        peak.count(moment)
    assert peak.highest == 4


def test_excess_is_answered_429_and_counted(simulator: Simulator, caller: Caller) -> None:
    simulator.set_limits(delete_per_s=1)
    wait_until(lambda: caller.delete("job-1").status == 429)
    response = simulator.calls()[-1]
    assert (response["status"], response["code"]) == (429, "APIGW.0308")
    assert simulator.stats()["throttled"] == 1
    assert caller.list().status == 200  # GET has a window of its own
    simulator.set_limits(get_per_s=1, retry_after_s=2)
    wait_until(lambda: caller.list().status == 429)
    assert caller.delete("job-1").status == 400


@pytest.mark.parametrize(("retry_after_s", "header"), [(None, None), (2, "2"), (0.5, "0.5")])
def test_a_429_carries_retry_after_only_on_request(
    simulator: Simulator, caller: Caller, retry_after_s: float | None, header: str | None
) -> None:
    simulator.fault("throttled", retry_after_s=retry_after_s)
    response = caller.delete("job-1")
    assert (response.status, response.code, response.headers.get("retry-after")) == (429, "APIGW.0308", header)
    assert "The throttling threshold has been reached: policy user over ratelimit" in response.message


# HTTP


def test_one_connection_carries_many_calls_even_pipelined(simulator: Simulator, caller: Caller) -> None:
    simulator.fill(3)
    with caller.connect() as line:
        line.sendall(b"".join(caller.bytes("DELETE", f"{caller.jobs}/job-0000{n}") for n in (1, 2, 3)))
        wait_until(lambda: simulator.stats()["effects"] == 3)
        assert read_answer(line).status == 200


def test_a_chunked_body_is_hashed_as_received(simulator: Simulator, caller: Caller) -> None:
    simulator.add_job("job-1")
    whole = caller.bytes("DELETE", f"{caller.jobs}/job-1", b"{}")
    head = whole.partition(b"\r\nContent-Length")[0] + b"\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert caller.send_raw(head + b"1\r\n{\r\n1;x=y\r\n}\r\n0\r\nTrailer: 1\r\n\r\n").status == 200


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET http://elsewhere/ HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", 400),
        (b"GET / HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n", 413),
        (b"GET / HTTP/1.1\r\nLong: " + b"x" * 140_000, 494),
    ],
)
def test_a_request_that_is_no_http_or_too_large_is_refused(caller: Caller, request_bytes: bytes, status: int) -> None:
    assert caller.send_raw(request_bytes).status == status


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::"])
def test_only_loopback_is_bound(host: str) -> None:
    with pytest.raises(UsageError, match="loopback only"):
        Simulator(host=host)
    refused = CliRunner().invoke(main, ["--host", host])
    assert (refused.exit_code, "loopback only" in refused.output) == (2, True)


def test_a_port_in_use_is_an_error_at_once(simulator: Simulator) -> None:
    with pytest.raises(OSError, match="in use"), Simulator(port=int(simulator.url.rsplit(":", 1)[1])):
        pass


# a process of its own


def test_the_simulator_runs_as_a_process_and_its_log_survives_it(tmp_path: Path) -> None:
    log, jobs = tmp_path / "calls.jsonl", tmp_path / "jobs"
    jobs.write_text('# ids and objects\nfrom-file\n{"job_id": "busy", "state": "TRAINING"}\n')
    options = ["--port", "0", "--jobs", "2", "--jobs-file", str(jobs), "--log", str(log), "--ak", "AK1", "--sk", "SK1"]
    command = [sys.executable, "-m", "worker.simulator", "--project", "p1", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().split()[-1]
            caller = Caller(url, "AK1", "SK1", "p1")
            assert [caller.delete(job_id).status for job_id in ("job-00001", "from-file", "busy")] == [200, 200, 400]
            assert SimulatorControl(url).job_ids() == ["job-00002", "busy"]
        finally:
            process.terminate()
        assert process.wait(NEVER_THAT_LONG) == 0
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [(line["job_id"], line["status"], line["effect"]) for line in lines] == [
        ("job-00001", 200, True),
        ("from-file", 200, True),
        ("busy", 400, False),
    ]


def test_preloaded_jobs_may_leave_something_behind(tmp_path: Path) -> None:
    options = ["--port", "0", "--jobs", "2", "--leftovers", "--cascade", "purge", "--limit", "voice_read=1"]
    command = [sys.executable, "-m", "worker.simulator", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            control = SimulatorControl(process.stdout.readline().split()[-1])
            caller = Caller(control.url, DEMO_AK, DEMO_SK, DEMO_PROJECT)
            assert caller.show("job-00002").json["voice_train_job_id"] == "voice-job-00002"
            assert caller.delete("job-00002").status == 200
            states = control.assets()[DEMO_PROJECT]
            assert {name: states[name] for name in ("asset-job-00001", "asset-job-00002")} == {
                "asset-job-00001": "ACTIVED",
                "asset-job-00002": "DELETED",
            }
            assert list(control.voice_jobs()[DEMO_PROJECT]) == ["voice-job-00001"]
            wait_until(lambda: caller.send("GET", caller.voice_jobs).status == 429)
        finally:
            process.terminate()


@pytest.mark.parametrize("limit", ["asset_delete", "asset_delete=many", "asset_write=5", "asset_delete=0"])
def test_a_limit_that_makes_no_sense_is_refused(limit: str) -> None:
    refused = CliRunner().invoke(main, ["--port", "0", "--limit", limit])
    assert (refused.exit_code, limit.partition("=")[0] in refused.output) == (2, True)


def test_a_jobs_file_with_a_bad_line_names_it(tmp_path: Path) -> None:
    (tmp_path / "jobs").write_text("good\n{bad\n")
    with pytest.raises(UsageError, match="jobs:2: neither"):
        read_jobs(tmp_path / "jobs")
