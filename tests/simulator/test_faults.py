"""The simulator misbehaves exactly as asked, and its log tells the truth about it."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.caller import NEVER_THAT_LONG, Caller, read_answer
from tests.support.waiting import wait_until
from worker.model.errors import Unreachable, UsageError
from worker.simulator import Controls, FaultKind, Simulator, SimulatorControl, faults
from worker.simulator.faults import Fault, Faults

NOT_NOW = 600.0  # seconds that no test waits for
SOON = 0.05  # a client's patience with a server that will not answer at all


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator() as app:
        app.fill(3)
        yield app


@pytest.fixture(params=["in this process", "over HTTP"])
def control(request: pytest.FixtureRequest, simulator: Simulator) -> Controls:
    return simulator if request.param == "in this process" else SimulatorControl(simulator.url)


JOB = "job-00001"


def exists(simulator: Simulator) -> bool:
    return JOB in simulator.job_ids()


def wait_for_the_end_of(control: Controls, calls: int) -> None:
    """Until so many calls have arrived and ended: a client that gave up may be ahead of the server."""
    wait_until(lambda: (control.stats()["total"], control.stats()["under_way"]) == (calls, 0))


# faults that answer


def test_a_job_fails_n_times_and_then_succeeds(control: Controls, caller: Caller) -> None:
    control.fault("error", JOB, times=2)
    responses = [caller.delete(JOB) for _ in range(3)]
    assert [response.status for response in responses] == [500, 500, 200]
    assert (responses[0].code, responses[0].message) == ("MSS.00000004", "Internal Error")
    assert control.stats()["by_fault"] == {"error": 2}


def test_a_job_fails_for_ever_while_others_succeed(control: Controls, caller: Caller) -> None:
    control.fault("error", JOB, times=None)
    assert [caller.delete(JOB).status for _ in range(5)] == [500] * 5
    assert caller.delete("job-00002").status == 200
    control.clear_faults(JOB)
    assert caller.delete(JOB).status == 200


def test_the_next_calls_fail_whichever_job_they_are_of(control: Controls, caller: Caller) -> None:
    control.fault("error", times=2)
    statuses = [caller.delete(job_id).status for job_id in ("job-00001", "job-00002", "job-00003")]
    assert statuses == [500, 500, 200]


def test_all_calls_fail_until_faults_are_cleared(control: Controls, caller: Caller) -> None:
    control.fault("error", times=None, method="*")
    assert [caller.delete(JOB).status, caller.list().status, caller.show(JOB).status] == [500] * 3
    control.clear_faults()
    assert [caller.list().status, caller.delete(JOB).status] == [200, 200]


def test_a_fault_of_get_hits_the_show_and_the_lookup_of_its_job_only(control: Controls, caller: Caller) -> None:
    control.fault("error", JOB, method="GET", times=2)
    assert caller.list().status == 200
    assert [caller.list(f"job_id={JOB}").status, caller.show(JOB).status, caller.show(JOB).status] == [500, 500, 200]
    assert caller.delete(JOB).status == 200


def test_faults_of_one_job_happen_in_their_order_before_those_of_any_job() -> None:
    faults = Faults()
    for fault in (
        Fault(FaultKind.HTML),
        Fault(FaultKind.ERROR, "j", times=2),
        Fault(FaultKind.RESET, "j"),
        Fault(FaultKind.HANG, "other"),
    ):
        faults.add(fault)
    taken = [faults.take("DELETE", "p", "j") for _ in range(5)]
    assert [fault and fault.kind for fault in taken] == [
        FaultKind.ERROR,
        FaultKind.ERROR,
        FaultKind.RESET,
        FaultKind.HTML,
        None,
    ]


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"kind": "error"}, 500, "MSS.00000004"),
        ({"kind": "error", "status": 400}, 400, "MSS.00000003"),
        ({"kind": "error", "status": 502}, 502, "APIGW.0201"),
        ({"kind": "error", "status": 503}, 503, "APIGW.0613"),
        ({"kind": "error", "status": 504}, 504, "APIGW.0201"),
        ({"kind": "error", "status": 401}, 401, "APIGW.0301"),
        ({"kind": "error", "status": 404}, 404, "APIGW.0101"),
        ({"kind": "forbidden"}, 403, "APIGW.0302"),
        ({"kind": "throttled"}, 429, "APIGW.0308"),
        ({"kind": "error_in_200"}, 200, "MSS.00000004"),
    ],
)
@pytest.mark.parametrize("deletes", [False, True])
def test_an_error_answer_may_hide_a_deletion_or_not(
    simulator: Simulator, caller: Caller, fields: dict[str, object], status: int, code: str, deletes: bool
) -> None:
    simulator.fault(job_id=JOB, deletes=deletes, **fields)  # type: ignore[arg-type]
    response = caller.delete(JOB)
    assert (response.status, response.code, exists(simulator)) == (status, code, not deletes)
    assert simulator.calls()[-1]["effect"] is deletes


def test_html_and_redirects_delete_nothing(simulator: Simulator, caller: Caller) -> None:
    simulator.fault("html")
    simulator.fault("redirect", status=307)
    html, moved = caller.delete(JOB), caller.delete(JOB)
    assert (html.status, html.headers["content-type"]) == (502, "text/html")
    assert html.body.startswith(b"<html>")
    assert (moved.status, moved.headers["location"], moved.body) == (307, "/moved", b"")
    assert exists(simulator)


# faults that do not


@pytest.mark.parametrize("deletes", [False, True])
@pytest.mark.parametrize(
    ("kind", "problem"),
    [
        ("reset", ConnectionResetError),
        ("close", http.client.RemoteDisconnected),
        ("garbage", http.client.BadStatusLine),
        ("truncated", http.client.IncompleteRead),
        ("hang", TimeoutError),
    ],
)
def test_a_broken_answer_may_hide_a_deletion_or_not(
    simulator: Simulator, caller: Caller, kind: str, problem: type[Exception], deletes: bool
) -> None:
    simulator.fault(kind, JOB, deletes=deletes)
    caller.timeout = SOON if kind == "hang" else NEVER_THAT_LONG
    with pytest.raises(problem):
        caller.delete(JOB)
    wait_for_the_end_of(simulator, calls=1)
    call = simulator.calls()[-1]
    assert (call["fault"], call["effect"], exists(simulator)) == (kind, deletes, not deletes)
    assert call["status"] == (200 if kind == "truncated" else None)
    assert call["client_left"] is (kind == "hang")


def test_a_slow_answer_comes_after_its_time_and_the_deletion_before(simulator: Simulator, caller: Caller) -> None:
    simulator.fault("slow", JOB, seconds=NOT_NOW)
    simulator.fault("slow", "job-00002", seconds=0.02)
    with caller.connect() as line:
        line.sendall(caller.bytes("DELETE", f"{caller.jobs}/{JOB}"))
        wait_until(lambda: not exists(simulator))
        assert simulator.stats()["under_way"] == 1
    assert caller.delete("job-00002").status == 200
    wait_for_the_end_of(simulator, calls=2)
    left, answered = simulator.calls()
    assert (left["status"], left["client_left"], left["effect"]) == (None, True, True)
    assert answered["ended"] - answered["started"] >= 0.02


def test_a_slow_call_without_effect_ends_in_a_gateway_timeout(simulator: Simulator, caller: Caller) -> None:
    simulator.fault("slow", JOB, seconds=0.001, deletes=False)
    assert (caller.delete(JOB).status, exists(simulator)) == (504, True)


@pytest.mark.parametrize("kind", ["drip_headers", "drip_body"])
def test_a_dripping_answer_is_whole_in_the_end(simulator: Simulator, caller: Caller, kind: str) -> None:
    simulator.fault(kind, JOB, seconds=0.0001)
    simulator.fault(kind, method="GET", seconds=0.0)
    assert (caller.delete(JOB).status, exists(simulator)) == (200, False)
    assert caller.list().json["count"] == 2


def test_a_dripping_body_follows_a_head_that_came_at_once(simulator: Simulator, caller: Caller) -> None:
    simulator.fault("drip_body", JOB, seconds=NOT_NOW)
    with caller.connect() as line:
        line.sendall(caller.bytes("DELETE", f"{caller.jobs}/{JOB}"))
        received = b""
        while not received.endswith(b"\r\n\r\n"):
            received += line.recv(4096)
        assert received.startswith(b"HTTP/1.1 200 OK\r\n")
        line.settimeout(SOON)
        with pytest.raises(TimeoutError):
            line.recv(1)


def test_dripping_headers_come_byte_by_byte_from_the_first(simulator: Simulator, caller: Caller) -> None:
    simulator.fault("drip_headers", JOB, seconds=NOT_NOW)
    caller.timeout = SOON
    with pytest.raises(TimeoutError):
        caller.delete(JOB)
    wait_until(lambda: not exists(simulator))


def test_every_kind_of_fault_is_documented() -> None:
    text = faults.__doc__ or ""
    assert all(f"| `{kind}` |" in text for kind in FaultKind)
    assert all(f"`{kind}`" in text.partition("| `truncated`")[2] for kind in faults.ORDINARY)


# outages and latency


@pytest.mark.parametrize(("mode", "code"), [("503", "APIGW.0613"), ("500", "MSS.00000004")])
def test_an_outage_answers_every_call_alike_until_it_is_lifted(
    control: Controls, caller: Caller, mode: str, code: str
) -> None:
    control.outage(mode)
    responses = [caller.delete(JOB), caller.list()]
    assert [(str(response.status), response.code) for response in responses] == [(mode, code)] * 2
    control.outage(None)
    assert caller.delete(JOB).status == 200
    assert control.stats()["by_fault"] == {f"outage:{mode}": 2}


def test_an_outage_that_hangs_never_answers(control: Controls, caller: Caller) -> None:
    control.outage("hang")
    caller.timeout = SOON
    with pytest.raises(TimeoutError):
        caller.delete(JOB)
    wait_for_the_end_of(control, calls=1)
    assert control.calls()[-1]["fault"] == "outage:hang"
    assert JOB in control.job_ids()


def test_an_outage_that_refuses_resets_every_connection_but_the_controls(control: Controls, caller: Caller) -> None:
    with caller.connect() as kept:
        control.outage("refuse")
        kept.sendall(caller.bytes("DELETE", f"{caller.jobs}/{JOB}"))
        with pytest.raises(ConnectionResetError):
            read_answer(kept)
    with pytest.raises(ConnectionResetError):
        caller.list()
    control.outage(None)
    assert caller.delete(JOB).status == 200


def test_a_closed_port_refuses_connections_until_it_opens_again(simulator: Simulator, caller: Caller) -> None:
    url = simulator.url
    with caller.connect() as kept:
        simulator.outage("closed")
        with pytest.raises((ConnectionResetError, http.client.RemoteDisconnected)):
            read_answer(kept)
    with pytest.raises(ConnectionRefusedError):
        caller.delete(JOB)
    simulator.outage(None)
    assert (simulator.url, caller.delete(JOB).status) == (url, 200)


def test_over_http_a_closed_port_opens_by_itself(simulator: Simulator, caller: Caller) -> None:
    control = SimulatorControl(simulator.url)
    with pytest.raises(UsageError, match="for_s"):
        control.outage("closed")
    control.outage("closed", for_s=0.01)
    wait_until(lambda: _reachable(control))
    assert caller.delete(JOB).status == 200


def _reachable(control: SimulatorControl) -> bool:
    try:
        return bool(control.stats())
    except Unreachable:
        return False


def test_an_outage_may_end_by_itself(control: Controls, caller: Caller) -> None:
    control.outage("503", for_s=NOT_NOW)
    assert caller.list().status == 503
    control.outage("503", for_s=0.0)
    assert caller.list().status == 200


def test_an_outage_may_hit_one_project_or_one_method_only(control: Controls, caller: Caller) -> None:
    control.outage("503", method="DELETE")
    assert [caller.list().status, caller.delete(JOB).status] == [200, 503]
    control.outage("503", project="another")
    assert caller.delete(JOB).status == 200


def test_latency_delays_every_call(control: Controls, caller: Caller) -> None:
    control.set_latency(0.01, jitter_s=0.01)
    assert [caller.delete(JOB).status, caller.list().status] == [200, 200]
    assert all(call["ended"] - call["started"] >= 0.01 for call in control.calls())
    control.set_latency(0)


def test_a_call_that_arrived_is_carried_out_although_its_client_left(simulator: Simulator, caller: Caller) -> None:
    simulator.set_latency(NOT_NOW)
    caller.timeout = SOON
    with pytest.raises(TimeoutError):
        caller.delete(JOB)
    wait_for_the_end_of(simulator, calls=1)
    assert (simulator.effects(), simulator.calls()[-1]["client_left"]) == ({JOB: 1}, True)


# the log of calls


def test_two_deletes_of_a_job_under_way_at_once_are_an_overlap(simulator: Simulator, caller: Caller) -> None:
    simulator.fault("hang", JOB)
    with caller.connect() as hanging:
        hanging.sendall(caller.bytes("DELETE", f"{caller.jobs}/{JOB}"))
        wait_until(lambda: simulator.stats()["under_way"] == 1)
        assert caller.delete("job-00002").status == 200
        assert simulator.stats()["max_overlap"] == 1
        assert caller.delete(JOB).status == 200
    stats = simulator.stats()
    assert (stats["max_overlap"], stats["overlaps"], stats["most_deletes_of_a_job"]) == (2, {JOB: 2}, 2)


def test_calls_one_after_the_other_never_overlap(simulator: Simulator, caller: Caller) -> None:
    simulator.fault("error", JOB, times=20)
    for _ in range(20):
        caller.delete(JOB)
    assert simulator.stats()["max_overlap"] == 1


def test_every_call_is_logged_with_its_times_its_key_and_its_effect(control: Controls, caller: Caller) -> None:
    responses = [caller.delete(JOB), caller.delete(JOB), caller.list("limit=1")]
    deleted, absent, listing = control.calls()
    assert [deleted["n"], absent["n"], listing["n"]] == [1, 2, 3]
    assert deleted["started"] <= deleted["ended"] <= absent["started"]
    assert [call["request_id"] for call in control.calls()] == [
        response.headers["x-request-id"] for response in responses
    ]
    assert (deleted["method"], deleted["operation"], deleted["job_id"]) == ("DELETE", "delete", JOB)
    assert (deleted["ak"], deleted["status"], deleted["effect"]) == (caller.ak, 200, True)
    assert (absent["status"], absent["code"], absent["effect"]) == (400, "MSS.00000003", False)
    assert (listing["operation"], listing["query"]) == ("list", "limit=1")
    assert control.calls(since=2) == [listing]
    assert [call["n"] for call in control.calls(job_id=JOB)] == [1, 2]
    assert control.effects() == {JOB: 1}


def test_stats_add_up(control: Controls, caller: Caller) -> None:
    caller.delete(JOB)
    caller.delete(JOB)
    caller.list()
    stats = control.stats()
    assert (stats["total"], stats["under_way"], stats["effects"]) == (3, 0, 1)
    assert stats["by_status"] == {"200": 2, "400": 1}
    assert stats["by_operation"] == {"delete": 2, "list": 1}
    assert stats["most_effects_of_a_job"] == 1
    assert stats["peak_per_second"][caller.project]["GET"] == 1


def test_a_bounded_log_keeps_the_last_calls_and_all_totals() -> None:
    with Simulator(jobs=5, keep_calls=2) as simulator:
        for n in range(1, 6):
            Caller.of(simulator).delete(f"job-{n:05d}")
        assert [call["n"] for call in simulator.calls()] == [4, 5]
        assert [call["n"] for call in simulator.calls(since=4)] == [5]
        assert (simulator.stats()["total"], simulator.stats()["effects"]) == (5, 5)


def test_the_log_stays_readable_after_the_end(tmp_path: Path) -> None:
    with Simulator(jobs=1, log=tmp_path / "calls.jsonl") as simulator:
        Caller.of(simulator).delete(JOB)
    assert simulator.stats()["effects"] == 1
    assert len((tmp_path / "calls.jsonl").read_text().splitlines()) == 1


# the control plane


def test_reset_returns_to_the_start(control: Controls, caller: Caller) -> None:
    control.set_credential(caller.ak, "replaced")
    control.set_clock(9999)
    control.outage("503")
    control.fault("error", times=None)
    control.set_limits(delete_per_s=1)
    control.reset()
    assert (control.job_ids(), control.stats()["total"], control.calls()) == ([], 0, [])
    control.add_job(JOB)
    assert caller.delete(JOB).status == 200


def test_many_jobs_are_added_in_one_go(control: Controls) -> None:
    control.add_jobs({"job_id": f"j{n}", "state": "TRAINING", "project": "p2"} for n in range(6_000))
    assert len(control.job_ids("p2")) == 6_000


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("fault", {"kind": "explode"}, "use one of error"),
        ("fault", {"kind": "error", "colour": 1}, "no such field colour"),
        ("fault", {"kind": "error", "times": 0}, "1 or more"),
        ("fault", {"kind": "error", "method": "PUT"}, "DELETE, GET or"),
        ("fault", {}, "kind"),
        ("outage", {"mode": "nap"}, "use one of 503"),
        ("add", {"jobs": [{"id": 1}]}, "job_id"),
        ("add", {"jobs": [{"job_id": "j", "moves": [1]}]}, "pairs"),
        ("add", {"jobs": {"job_id": "j"}}, "add jobs: use a list"),
        ("move_job", {"job_id": "nobody", "state": "TRAINING"}, "nobody"),
        ("fill", {}, "count"),
        ("fill", {"count": True}, "a whole number"),
        ("disable_credential", {"ak": "nobody"}, "no such key"),
        ("set_credential", {}, "ak"),
        ("set_credential", {"ak": "a", "sk": "s", "projects": "p"}, "projects: use a list"),
        ("set_limits", {"delete_per_s": 0}, "whole number"),
        ("set_answers", {"absent": "418"}, "400, 404, 500"),
        ("set_answers", {"colour": "red"}, "colour"),
        ("set_clock", {"offset_s": "soon"}, "a number"),
        ("nothing", {}, "no such command"),
    ],
)
def test_a_command_that_makes_no_sense_says_what_would(
    control: Controls, name: str, arguments: dict[str, object], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        control._run(name, arguments)


def test_control_without_a_simulator_says_what_to_start() -> None:
    with Simulator() as simulator:
        url = simulator.url
    with pytest.raises(Unreachable, match="eraser simulator"):
        SimulatorControl(url).stats()
