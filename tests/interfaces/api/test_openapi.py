"""The API is what its document says: every route is in it, and no answer that a fuzzer gets is missing from it."""

from __future__ import annotations

import html
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from starlette.routing import Route

from tests.support.dead_letters import Undertaker
from tests.support.erasures import PARTS, erased
from tests.support.http_site import DELETIONS, Site
from tests.support.schemas import operation_of
from tests.support.waiting import wait_until
from worker.config.api_tokens import Scope
from worker.interfaces.api import reference
from worker.interfaces.api.openapi import DOCUMENT

# Valid data is refused where its meaning is wrong (a cursor that nobody gave out, a moment that has passed), and what
# is cancelled is shown for ever: both are meant.
NOT_OURS = "positive_data_acceptance,use_after_free"


@pytest.fixture
def address(site: Site) -> Iterator[str]:
    """The same application behind a real server."""
    server = uvicorn.Server(uvicorn.Config(site.starlette, port=0, log_config=None, access_log=False))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait_until(lambda: server.started, what="the server listens")
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join(60)


def test_every_route_of_the_api_is_in_the_document_and_none_else(site: Site) -> None:
    routes = {
        (route.path, method.lower())
        for route in site.starlette.routes
        if isinstance(route, Route) and route.path.startswith("/api")
        for method in (route.methods or set()) - {"HEAD"}
    }
    methods = {"get", "post", "delete", "put", "patch"}
    assert routes == {(path, method) for path, item in DOCUMENT["paths"].items() for method in set(item) & methods}
    assert site.client.get("/openapi.json").json() == DOCUMENT


def test_the_document_has_a_page_for_people_that_needs_no_other_site(site: Site) -> None:
    page = site.client.get("/openapi")
    assert page.status_code == 200
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert not re.findall(r'(?:src|href)="(?:https?:)?//', page.text)
    text = html.unescape(re.sub(r"<[^>]+>", " ", page.text))
    for path, item in DOCUMENT["paths"].items():
        for method in set(item) - {"parameters"}:
            assert f"{method.upper()} {path}" in text
            assert item[method]["summary"].replace("`", " ") in text
            assert all(each["name"] in text for each in item[method].get("parameters", ()))
    for name, schema in DOCUMENT["components"]["schemas"].items():
        assert f'id="{name}"' in page.text
        assert all(re.search(rf"\b{field}\b", text) for field in schema["properties"])
    assert reference.kind({"type": ["string", "null"], "format": "date-time"}) == "string or null, such as date-time"


def test_each_operation_says_which_scope_it_needs() -> None:
    for item in DOCUMENT["paths"].values():
        for operation in (item[name] for name in ("get", "post", "delete") if name in item):
            assert any(f"Scope `{scope}`" in operation["summary"] for scope in Scope)
            assert {"401", "403", "421", "503"} <= set(operation["responses"])


def test_each_operation_answers_what_the_document_says(site: Site, undertaker: Undertaker) -> None:
    """`site.call` holds every answer against the document: no field is missing, none is left out."""
    erased(undertaker, "left", parts=[{**one, "named_by": "job"} for one in PARTS])
    undertaker.end("done", to="deleted")
    undertaker.end("letter", claim={"by": "svc-1"})
    site.ask("letter", reason="T-1", on_behalf_of="p-1")
    site.ask("waits", after="1h")
    site.ask("waits", after="1h", on_behalf_of="p-2")
    calls: list[tuple[str, str, dict[str, Any]]] = [("POST", "", {"json": {"job_ids": ids}}) for ids in (["a"], [".."])]
    calls += [("GET", f"/{job}", {}) for job in ("done", "letter", "waits", "nobody")]
    calls += [("GET", query, {}) for query in ("", "?limit=0", "?state=all&limit=1", "?state=all")]
    calls += [("DELETE", f"/{job}?reason=T-1", {}) for job in ("waits", "done")]
    for act in ("erase", "restore"):
        calls += [("GET", f"/left/related/{act}", {}), ("POST", f"/left/related/{act}", {"json": {"reason": "T-1"}})]
    statuses = {site.call(method, DELETIONS + path, **more).status_code for method, path, more in calls}
    assert statuses == {200, 202, 404, 409, 422}
    every = {(method, path) for path, item in DOCUMENT["paths"].items() for method in set(item) - {"parameters"}}
    assert {operation_of(method, DELETIONS + path) for method, path, _ in calls} == every


def test_a_fuzzer_finds_no_500_and_no_answer_that_is_not_documented(site: Site, address: str, tmp_path: Path) -> None:
    st = Path(sys.executable).with_name("st")
    words = [st, "run", f"{address}/openapi.json", "-H", f"Authorization: Bearer {site.token}", "--no-color"]
    words += ["--max-examples", "15", "--continue-on-failure", "--exclude-checks", NOT_OURS]
    words += ["--generation-deterministic", "--suppress-health-check", "all", "--request-timeout", "60"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "Tested: 8" in done.stdout
