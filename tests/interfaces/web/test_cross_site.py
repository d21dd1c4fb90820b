"""Whatever changes something refuses other sites: every route of the application, also those that come to be."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from starlette.routing import Route
from starlette.testclient import TestClient

from tests.support.dead_letters import PROJECT
from tests.support.http_site import HERE, Site

SAFE = {"GET", "HEAD", "OPTIONS"}
VALUES = {"account": "default", "verb": "pause", "act": "hold", "project": PROJECT, "project_id": PROJECT}
PASSWORD = "correct horse battery staple"


def changing(site: Site) -> Iterator[tuple[str, str]]:
    """(method, address) of every route that does something."""
    for route in site.starlette.routes:
        assert isinstance(route, Route), "a kind of route whose methods this test cannot see"
        for method in route.methods or ():
            if method not in SAFE:
                yield method, re.sub(r"\{(\w+)\}", lambda found: VALUES.get(found[1], "a"), route.path)


@pytest.fixture
def guarded(redis_url: str, site: Site) -> Site:
    """The same with a password, so that nothing is open for want of one."""
    return Site(redis_url, site.tokens.with_name("guarded.toml"), {"ERASER_CONSOLE_PASSWORD": PASSWORD})


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:8710"},
        {"Sec-Fetch-Site": "same-site"},
    ],
    ids=str,
)
def test_every_route_that_changes_something_refuses_another_site(
    site: Site, guarded: Site, headers: dict[str, str]
) -> None:
    for one in (site, guarded):
        found = list(changing(one))
        assert {method for method, _ in found} == {"POST", "DELETE"}
        assert len(found) >= 10, "the routes were not found"
        for method, path in found:
            response = one.call(method, path, headers=headers)
            assert (path, response.status_code) == (path, 403)


def test_no_route_takes_what_another_host_name_led_here(site: Site) -> None:
    rebound = TestClient(site.starlette, base_url="http://evil.example:8710")
    for method, path in changing(site):
        assert (path, rebound.request(method, path).status_code) == (path, 421)


def test_every_route_of_the_console_wants_the_token_of_its_form(site: Site) -> None:
    for method, path in changing(site):
        if not path.startswith("/api"):
            response = site.client.request(method, path, headers={"Origin": HERE, "Sec-Fetch-Site": "same-origin"})
            assert (path, response.status_code) == (path, 403)
