"""What is refused before anything is asked; what every answer carries; what the log says, and what it never does."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator

import anyio
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.testclient import TestClient

from tests.interfaces.api.test_deletions import problem
from tests.support.dead_letters import PROJECT, Undertaker
from tests.support.http_site import DELETIONS, HERE, Site
from worker.config import known_secrets
from worker.config.request_id import HTTP_REQUEST_ID
from worker.execution.logs import ForMachines, Redacted, secrets_of
from worker.interfaces.web.request_guard import BODY_LIMIT, RequestGuard
from worker.services.audit import as_json as entry_as_json


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "10.1.2.3:8710", ""])
def test_a_name_that_is_not_ours_reaches_nothing(site: Site, undertaker: Undertaker, host: str) -> None:
    refused = site.ask("job-1", headers={"Host": host})
    problem(refused, 421, "unknown-host")
    assert undertaker.recorded() == 0


def test_a_name_that_was_allowed_and_any_name_for_a_probe(redis_url: str, site: Site) -> None:
    other = Site(
        redis_url, site.tokens.with_name("others.toml"), {"ERASER_ALLOWED_HOSTS": "eraser.example.com, console"}
    )
    assert other.ask("job-1", headers={"Host": "Eraser.Example.com:443"}).status_code == 202
    assert other.ask("job-1", headers={"Host": "example.com"}).status_code == 421
    assert site.client.get("/healthz", headers={"Host": "10.1.2.3:8710"}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_another_site_changes_nothing_even_with_a_token(
    site: Site, undertaker: Undertaker, headers: dict[str, str]
) -> None:
    problem(site.ask("job-1", headers=headers), 403, "cross-site")
    problem(site.call("DELETE", f"{DELETIONS}/job-1?reason=T", headers=headers), 403, "cross-site")
    assert undertaker.recorded() == 0


def test_no_other_site_is_ever_invited(site: Site) -> None:
    preflight = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    response = site.client.options(DELETIONS, headers=preflight)
    assert response.status_code == 405
    assert not any(name.startswith("access-control") for name in response.headers)


@pytest.mark.parametrize(
    "path",
    [
        f"/api/projects/{PROJECT}/deletions/..",
        f"/api/projects/{PROJECT}/deletions/%2e%2e",
        f"/api/projects/{PROJECT}/deletions/a%2fb",
        f"/api/projects/{PROJECT}/deletions/a%00",
        f"/api/projects/{PROJECT}/deletions/a\\b",
        f"/api/projects/{PROJECT}/deletions/",
        f"/api/projects/{PROJECT}//deletions/a",
        f"/api/projects/../projects/{PROJECT}/deletions/a",
        "/api/projects//deletions/a",
        "/api%2fprojects",
        f"/api/projects/{PROJECT}/deletions/a;x=1",
        f"/api/projects/{PROJECT}/deletions/" + "a" * 65,
        f"/api/projects/{PROJECT}/deletions/-a",
        f"/api/projects/{'p' * 65}/deletions/a",
    ],
)
@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_no_trick_with_a_path_reaches_a_deletion(site: Site, path: str, method: str) -> None:
    scope_path, _, _ = path.partition("?")
    response = _raw(site, method, scope_path)
    assert response in (404, 422)


def _raw(site: Site, method: str, path: str) -> int:
    """As a client writes it that does not tidy its paths up."""
    from urllib.parse import unquote

    from anyio import run

    sent: list[int] = []
    headers = [(b"host", b"127.0.0.1"), (b"authorization", f"Bearer {site.token}".encode())]
    scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http"}
    scope |= {"path": unquote(path), "raw_path": path.encode(), "query_string": b"reason=T", "headers": headers}
    scope |= {"root_path": "", "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 8710)}

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, object]) -> None:
        if message["type"] == "http.response.start":
            status = message["status"]
            assert isinstance(status, int)
            sent.append(status)

    run(site.starlette, scope, receive, send)
    return sent[0]


def test_a_body_is_bounded_whatever_its_headers_say(site: Site, undertaker: Undertaker) -> None:
    headers = {"Content-Type": "application/json"}
    large = b'{"job_id": "a", "reason": "' + b"x" * BODY_LIMIT + b'"}'

    def dripped() -> Iterator[bytes]:
        yield from (large[start : start + 65536] for start in range(0, len(large), 65536))

    for content in (large, dripped()):  # with a length, and in chunks without one
        refused = site.call("POST", DELETIONS, content=content, headers=headers)
        problem(refused, 413, "too-large")
        assert refused.headers["Connection"] == "close"
    assert undertaker.recorded() == 0


def test_a_body_with_two_lengths_is_refused(site: Site, undertaker: Undertaker) -> None:
    """A proxy on the way may have believed the other one."""
    headers = {"Content-Type": "application/json", "Content-Length": "17", "Transfer-Encoding": "chunked"}
    refused = site.call("POST", DELETIONS, content=b'{"job_id": "job"}', headers=headers)
    problem(refused, 400, "two-lengths")
    assert refused.headers["Connection"] == "close"
    assert undertaker.recorded() == 0


@pytest.mark.parametrize("path", ["/healthz", DELETIONS, "/nowhere"])
def test_every_answer_is_for_its_caller_alone(site: Site, path: str) -> None:
    headers = site.client.get(path).headers
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert "server" not in headers


def test_a_fault_of_ours_is_a_problem_without_its_text_and_a_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async def broken(_: Request) -> Response:
        raise RuntimeError("canary")

    app = Starlette(routes=[Route("/x", broken)], middleware=[Middleware(RequestGuard, allowed=())])
    response = TestClient(app, base_url=HERE, raise_server_exceptions=False).get("/x")
    problem(response, 500, "fault")
    assert "canary" not in response.text
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR] == ["http.failed"]


def test_a_body_that_drips_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.interfaces.web.request_guard.BODY_S", 0.05)

    async def queries(request: Request) -> Response:
        return Response(await request.body())

    app = Starlette(routes=[Route("/x", queries, methods=["POST"])], middleware=[Middleware(RequestGuard, allowed=())])
    scope = {"type": "http", "method": "POST", "path": "/x", "query_string": b"", "headers": [(b"host", b"localhost")]}
    sent: list[dict[str, object]] = []

    async def dripping() -> dict[str, object]:
        await anyio.sleep(0.01)
        return {"type": "http.request", "body": b"x", "more_body": True}

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    anyio.run(app, scope, dripping, send)
    assert sent[0]["status"] == 408


def test_a_caller_who_hangs_up_is_no_fault_of_ours(caplog: pytest.LogCaptureFixture) -> None:
    async def queries(request: Request) -> Response:
        return Response(await request.body())

    app = Starlette(routes=[Route("/x", queries, methods=["POST"])], middleware=[Middleware(RequestGuard, allowed=())])
    scope = {"type": "http", "method": "POST", "path": "/x", "query_string": b"", "headers": [(b"host", b"localhost")]}
    sent: list[object] = []

    async def gone() -> dict[str, object]:
        return {"type": "http.disconnect"}

    async def send(message: object) -> None:
        sent.append(message)

    anyio.run(app, scope, gone, send)
    assert sent == []
    assert [record.levelname for record in caplog.records] in ([], ["INFO"])


def test_neither_the_log_nor_an_answer_repeats_a_token_or_an_app_user(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    user = "app-user-canary-4711"
    personal = {"app_user": user, "reason": "reason-canary"}
    responses = [
        site.ask("job-1", **personal),
        site.ask("job-1", after="body-canary", **personal),
        site.ask("job-1", lane="body-canary", **personal),
        site.call("POST", DELETIONS, json={"job_id": "a", "field-canary": 1, **personal}),
        site.call("POST", DELETIONS, content=b"body-canary", headers={"Content-Type": "application/json"}),
        site.ask("job-1", token=f"eraser_canary{'x' * 37}", **personal),
        site.ask("job-1", token="canary", **personal),
        site.call("GET", f"{DELETIONS}/job-1?token=query-canary"),
    ]
    written = [Redacted(ForMachines(), secrets_of({})).format(record) for record in caplog.records]
    assert len([line for line in written if '"http.answered"' in line]) == len(responses)
    shown = responses[-1].json()
    assert shown["reason"] == "reason-canary", "the search finds nothing at all"
    for text in (*(response.text for response in responses[:-1]), *written, json.dumps(shown | {"reason": ""})):
        assert "canary" not in text
        assert site.token not in text


@pytest.mark.parametrize("given", ["0b5cf9ac-2ad6-43d5-b0a5-1f1d5ac9d3f1", "1-5759e988-bd862e3fe1be46a994272793", "a"])
def test_the_callers_request_id_is_in_the_answer_the_log_and_the_audit(
    site: Site, undertaker: Undertaker, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    logged: list[dict[str, object]] = []
    form = Redacted(ForMachines())
    monkeypatch.setattr(caplog.handler, "emit", lambda record: logged.append(json.loads(form.format(record))))
    caplog.set_level(logging.INFO)
    site.ask("job-1")
    headers = {"X-Request-ID": given}
    cancelled = site.call("DELETE", f"{DELETIONS}/job-1?reason=T-1", headers=headers)
    assert (cancelled.status_code, cancelled.headers["X-Request-ID"]) == (200, given)
    first, second = (line["http_request_id"] for line in logged if line["event"] == "http.answered")
    assert (first != given, second) == (True, given)
    (act,) = site.app.audit("default").newest()
    assert (act.action, act.http_request_id) == ("deletions.cancelled", given)
    assert entry_as_json(act)["http_request_id"] == given
    assert HTTP_REQUEST_ID.get() is None


@pytest.mark.parametrize(
    "given",
    [
        *([], ["a", "a"], [""], ["a b"], ["x" * 65], ["ann@example.com"], ["user-13800138000"], ["a?b=c"], ["\xe4"]),
        [f"eraser_{'x' * 43}"],
    ],
)
def test_any_other_gets_a_new_one_and_is_not_repeated(site: Site, given: list[str]) -> None:
    """Also an answer that was refused, and one that is not ours."""
    ids = set()
    for path in ("/healthz", "/nowhere", DELETIONS):
        headers = [(b"X-Request-ID", each.encode("latin-1")) for each in given]
        answer = site.client.get(path, headers=headers)  # type: ignore[arg-type]
        found = answer.headers.get_list("X-Request-ID")
        assert re.fullmatch(r"[0-9a-f]{32}", found[0])
        assert len(found) == 1
        ids.add(found[0])
    assert len(ids) == 3


def test_an_answer_does_not_say_whether_the_callers_request_id_is_a_secret_and_the_log_does_not_show_it(
    site: Site, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would tell anyone whether a guess of a password is right."""
    known_secrets.add("REDIS_URL", "correct-horse")
    written: list[str] = []
    form = Redacted(ForMachines())
    monkeypatch.setattr(caplog.handler, "emit", lambda record: written.append(form.format(record)))
    caplog.set_level(logging.INFO)
    for given in ("correct-horse", "of-correct-horse-1", "wrong-horse"):
        for path in ("/nowhere", DELETIONS):
            assert site.client.get(path, headers={"X-Request-ID": given}).headers["X-Request-ID"] == given
    assert len(written) >= 6
    assert not [line for line in written if "correct-horse" in line]


def test_one_line_an_answer_says_who_asked_what_and_how_long_it_took(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    site.ask("job-1")
    site.client.get("/healthz")
    (line,) = [
        json.loads(ForMachines().format(each)) for each in caplog.records if each.getMessage() == "http.answered"
    ]
    assert line["event"] == "http.answered"
    assert (line["method"], line["route"]) == ("POST", "/api/projects/{project_id}/deletions")
    assert (line["status"], line["token"]) == (202, "shop")
    assert line["ms"] > 0
