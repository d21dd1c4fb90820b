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
from tests.support.waiting import wait_until
from worker.config.api_tokens import Scope
from worker.interfaces.api import reference
from worker.interfaces.api.app import MANY, ONE
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


def left_out(schema: Any, sent: Any, where: str = "") -> set[str]:
    """The fields of an answer that a schema of the document does not name."""
    if "$ref" in schema:
        found = DOCUMENT
        for name in schema["$ref"].removeprefix("#/").split("/"):
            found = found[name]
        schema = {**found, **schema, "properties": found.get("properties", {}) | schema.get("properties", {})}
    if "anyOf" in schema and "properties" not in schema and isinstance(sent, dict):
        return min((left_out(one, sent, where) for one in schema["anyOf"]), key=len)
    if isinstance(sent, list):
        return set().union(*(left_out(schema["items"], one, where) for one in sent))
    if not isinstance(sent, dict):
        return set()
    named = schema.get("properties", {})
    missing = {f"{where}.{name}" for name in set(sent) - set(named)}
    return missing.union(
        *(left_out(named[name], value, f"{where}.{name}") for name, value in sent.items() if name in named)
    )


def schema_of(method: str, path: str, status: int) -> Any:
    response = DOCUMENT["paths"][path][method]["responses"][str(status)]
    if "$ref" in response:
        response = DOCUMENT["components"]["responses"][response["$ref"].rpartition("/")[2]]
    (content,) = response["content"].values()
    return content["schema"]


def test_every_field_that_is_sent_is_in_the_document(site: Site, undertaker: Undertaker) -> None:
    erased(undertaker, "left", parts=[{**one, "named_by": "job"} for one in PARTS])
    undertaker.end("done", to="deleted")
    undertaker.end("letter", claim={"by": "svc-1"})
    site.ask("letter", reason="T-1", on_behalf_of="p-1")
    site.ask("waits", after="1h")
    site.ask("waits", after="1h", on_behalf_of="p-2")
    responses = [("post", MANY, site.ask("a", "..")), ("post", MANY, site.ask("..", "."))]
    responses += [("get", ONE, site.call("GET", f"{DELETIONS}/{job}")) for job in ("done", "letter", "waits", "nobody")]
    responses += [("get", MANY, site.call("GET", DELETIONS)), ("get", MANY, site.call("GET", f"{DELETIONS}?limit=0"))]
    responses += [("get", MANY, site.call("GET", f"{DELETIONS}?state=all&limit={limit}")) for limit in (1, 100)]
    responses += [("delete", ONE, site.call("DELETE", f"{DELETIONS}/{job}?reason=T-1")) for job in ("waits", "done")]
    for act in ("erase", "restore"):
        path, to = f"{ONE}/related/{act}", f"{DELETIONS}/left/related/{act}"
        responses += [
            ("get", path, site.call("GET", to)),
            ("post", path, site.call("POST", to, json={"reason": "T-1"})),
        ]
    assert {response.status_code for _, _, response in responses} == {200, 202, 404, 409, 422}
    for method, path, response in responses:
        more = left_out(schema_of(method, path, response.status_code), response.json())
        assert {name for name in more if not name.startswith(".events.")} == set(), f"{method} {path}: {response.text}"


def test_a_fuzzer_finds_no_500_and_no_answer_that_is_not_documented(site: Site, address: str, tmp_path: Path) -> None:
    st = Path(sys.executable).with_name("st")
    words = [st, "run", f"{address}/openapi.json", "-H", f"Authorization: Bearer {site.token}", "--no-color"]
    words += ["--max-examples", "15", "--continue-on-failure", "--exclude-checks", NOT_OURS]
    words += ["--generation-deterministic", "--suppress-health-check", "all", "--request-timeout", "60"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "Tested: 8" in done.stdout
