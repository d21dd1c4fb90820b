"""The gateway's own limits: what is understood of them, and that nothing else of a debug answer is kept."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.metastudio.test_client import JOB, OK, PROJECT, SECRET, Server, client_of, http, parse, responses, serve
from worker.metastudio.quota import read_quota
from worker.model.quota import Quota
from worker.model.target import Target

__all__ = ["client_of", "serve"]

API = "X-Apig-RateLimit-api"
USER = "X-Apig-RateLimit-user"


def read(**headers: str) -> Quota | None:
    return read_quota(
        "job_read", {f"X-Apig-RateLimit-{name.replace('_', '-')}": text for name, text in headers.items()}
    )


def test_a_limit_is_read_as_the_documents_print_it() -> None:
    assert read(api="remain:9,limit:10,time:10 second") == Quota("job_read", "api", 10, 10, 9)


RATES = {
    "remain:0,limit:10,time:1 second": 10,
    "remain:1, limit:6, time:1 minute": 0.1,
    "remain:1,limit:3,time:2 seconds": 1.5,
    "remain:7,limit:7200,time:1 hour": 2,
    "remain:7,limit:86400,time:1 day": 1,
}


@pytest.mark.parametrize(("text", "rate"), RATES.items())
def test_its_rate_is_calls_a_second(text: str, rate: float) -> None:
    quota = read(app=text)
    assert quota is not None
    assert quota.rate == pytest.approx(rate)


def test_of_several_limits_the_tightest_counts() -> None:
    quota = read(api="remain:199,limit:200,time:1 second", user="remain:9,limit:10,time:1 second",
                 api_allenv="remain:100,limit:5000,time:1 second")  # fmt: skip
    assert quota is not None
    assert (quota.scope, quota.limit) == ("user", 10)


GARBAGE = [
    "", "10", "remain:,limit:,time:", "remain:9,limit:0,time:1 second", "remain:9,limit:10,time:0 second",
    "remain:9,limit:10,time:1 fortnight", "remain:-1,limit:10,time:1 second", "remain:11,limit:10,time:1 second",
    "remain:9,limit:1e9,time:1 second", "remain:9,limit:99999999999,time:1 second", "limit:10,remain:9,time:1 second",
    "remain:9,limit:10,time:1 second, remain:9,limit:10,time:1 second", "remain:٩,limit:١٠,time:1 second",
    "remain:9,limit:10,time:1 second" + " " * 200 + "x",
]  # fmt: skip


@pytest.mark.parametrize("text", GARBAGE)
def test_garbage_is_no_limit_and_hides_no_other(text: str) -> None:
    assert read(api=text) is None
    quota = read(api=text, ip="remain:1,limit:5,time:1 second")
    assert quota is not None
    assert quota.scope == "ip"


@given(st.text(max_size=200))
def test_no_text_is_too_odd_to_read(text: str) -> None:
    quota = read(api=text)
    assert quota is None or (quota.limit > 0 and quota.period_s > 0)


# --- calls ------------------------------------------------------------------------------------------------------


def call(client: Any, method: str, **how: Any) -> Any:
    if method == "DELETE":
        return client.delete(Target(PROJECT, JOB), **how)
    return client.ask(PROJECT, **how).response


@pytest.mark.parametrize(("method", "family"), [("DELETE", "job_delete"), ("GET", "job_read")])
def test_a_call_asks_only_where_it_is_meant_to_and_does_not_sign_the_question(
    serve: Callable[..., Server], client_of: Callable[..., Any], method: str, family: str
) -> None:
    answer = http(
        "200 OK", b'{"count":0,"jobs":[]}' if method == "GET" else b"", f"{API}: remain:9,limit:10,time:1 second"
    )
    server = serve(responses(answer))
    client = client_of(server)
    assert call(client, method).quota is None
    assert call(client, method, quota=True).quota == Quota(family, "api", 10, 1, 9)
    plain, question = (dict(parse(raw)[2]) for raw in server.requests)
    assert "x-apig-mode" not in plain
    assert question["x-apig-mode"] == "debug"
    assert "apig" not in question["authorization"].lower()


@pytest.mark.parametrize("method", ["DELETE", "GET"])
def test_a_gateway_that_refuses_the_question_gets_the_call_without_it(
    serve: Callable[..., Server], client_of: Callable[..., Any], method: str
) -> None:
    def talk(sock: socket.socket, server: Server) -> None:
        while (head := server.request(sock)) is not None:
            refused = b'{"error_code":"APIGW.0311","error_msg":"Incorrect debugging authentication information"}'
            sock.sendall(http("401 Unauthorized", refused) if b"X-Apig-Mode" in head else OK)

    server = serve(talk)
    response = call(client_of(server), method, quota=True)
    assert (response.status, response.code, response.quota) == (200, None, None)
    assert ["x-apig-mode" in dict(parse(raw)[2]) for raw in server.requests] == [True, False]


def test_any_other_refusal_is_sent_once(serve: Callable[..., Server], client_of: Callable[..., Any]) -> None:
    refused = (
        b'{"error_code":"APIGW.0301","error_msg":"Incorrect IAM authentication information: Get secretKey failed"}'
    )
    server = serve(responses(http("401 Unauthorized", refused)))
    assert call(client_of(server), "DELETE", quota=True).code == "APIGW.0301"
    assert len(server.requests) == 1


def test_what_a_debug_answer_echoes_is_not_kept(serve: Callable[..., Server], client_of: Callable[..., Any]) -> None:
    """A gateway in debug mode may say what it received, with the values of signed headers."""
    token, user = "session-token-of-the-test", "user-of-the-test"
    echo = f"x-security-token:{token}|x-app-userid:{user}"
    headers = [f"X-Apig-Debug-Request: {echo}", f"{API}: remain:9,limit:10,time:1 second", f"{USER}: {echo},{SECRET}"]
    body = json.dumps({"error_code": "MSS.00000003", "error_msg": f"canonicalRequest:DELETE|{echo}"}).encode()
    server = serve(responses(http("400 Bad Request", body, *headers)))
    response = client_of(server, token=token).delete(Target(PROJECT, JOB), app_user=user, quota=True)
    assert response.quota == Quota("job_delete", "api", 10, 1, 9)
    assert not any(secret in repr(response) for secret in (token, user, SECRET))
