"""The API is what its document says: every route is in it, and no answer that a fuzzer gets is missing from it."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn
from starlette.routing import Route

from tests.http_site import Site
from tests.waiting import wait_until
from worker.operations.http.openapi import DOCUMENT
from worker.operations.http.tokens import Scope

# Valid data is refused where its meaning is wrong (a cursor that nobody gave out, a moment that has passed), and what
# is cancelled is shown for ever: both are meant.
NOT_OURS = "positive_data_acceptance,use_after_free"


@pytest.fixture
def address(site: Site) -> Iterator[str]:
    """The same application behind a real server."""
    server = uvicorn.Server(uvicorn.Config(site.app, port=0, log_config=None, access_log=False))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait_until(lambda: server.started, what="the server listens")
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join(10)


def test_every_route_of_the_api_is_in_the_document_and_none_else(site: Site) -> None:
    routes = {
        (route.path, method.lower())
        for route in site.app.routes
        if isinstance(route, Route) and route.path.startswith("/api")
        for method in (route.methods or set()) - {"HEAD"}
    }
    methods = {"get", "post", "delete", "put", "patch"}
    assert routes == {(path, method) for path, item in DOCUMENT["paths"].items() for method in set(item) & methods}
    assert site.client.get("/openapi.json").json() == DOCUMENT


def test_each_operation_says_which_scope_it_needs() -> None:
    for item in DOCUMENT["paths"].values():
        for operation in (item[name] for name in ("get", "post", "delete") if name in item):
            assert any(f"Scope `{scope}`" in operation["summary"] for scope in Scope)
            assert {"401", "403", "421", "503"} <= set(operation["responses"])


def test_a_fuzzer_finds_no_500_and_no_answer_that_is_not_documented(site: Site, address: str, tmp_path: Path) -> None:
    st = Path(sys.executable).with_name("st")
    words = [st, "run", f"{address}/openapi.json", "-H", f"Authorization: Bearer {site.token}", "--no-color"]
    words += ["--max-examples", "15", "--continue-on-failure", "--exclude-checks", NOT_OURS]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "Tested: 4" in done.stdout
