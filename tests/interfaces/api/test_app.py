"""The application's own addresses: probes that say the truth, and a problem for everything else."""

from __future__ import annotations

from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tests.support.http_site import Site
from worker.config.api_tokens import Scope
from worker.execution.app_context import AppContext
from worker.interfaces.api.app import create_app


def client_of(redis_url: str) -> TestClient:
    return TestClient(create_app(AppContext.load({"ERASER_REDIS_URL": redis_url})), base_url="http://127.0.0.1:8710")


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_the_probes_are_open(redis_url: str, path: str) -> None:
    assert client_of(redis_url).get(path).status_code == 200


def test_without_redis_it_is_well_but_not_ready() -> None:
    client = client_of("unix:///nonexistent/redis.sock")
    assert client.get("/healthz").status_code == 200
    refused = client.get("/readyz")
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "5")
    assert "nonexistent" not in refused.text


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nowhere", 404), ("POST", "/healthz", 405)])
def test_what_is_not_there_is_a_problem(redis_url: str, method: str, path: str, status: int) -> None:
    refused = client_of(redis_url).request(method, path)
    assert refused.status_code == status
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert refused.json()["status"] == status


def test_the_metrics_are_for_this_machine_or_for_who_may_read(site: Site, redis_url: str, tmp_path: Path) -> None:
    assert "avatar_eraser_up 1" in site.client.get("/metrics").text
    proxied = {"ERASER_ALLOWED_HOSTS": "eraser.example.com"}
    behind = Site(redis_url, tmp_path / "behind.toml", proxied)
    away = Site(redis_url, tmp_path / "away.toml", bind="0.0.0.0")
    for other, host in ((behind, "eraser.example.com"), (away, "127.0.0.1")):
        headers = {"Host": host}
        asker = other.new_token("asker", Scope.REQUEST)
        assert other.client.get("/metrics", headers=headers).status_code == 401
        assert other.call("GET", "/metrics", asker, headers=headers).status_code == 403
        assert "avatar_eraser_up" in other.call("GET", "/metrics", headers=headers).text


@pytest.mark.parametrize("header", ["Forwarded", "Via", "X-Real-IP", "X-Forwarded-For", "X-Forwarded-Port"])
def test_metrics_through_a_proxy_of_this_machine_want_a_token(site: Site, header: str) -> None:
    """One that calls us by a loopback name, whoever stands behind it."""
    assert site.client.get("/metrics", headers={header: "x"}).status_code == 401
    assert site.call("GET", "/metrics", headers={header: "x"}).status_code == 200


def test_the_description_is_open(site: Site) -> None:
    assert site.client.get("/openapi.json").json()["openapi"] == "3.1.0"
