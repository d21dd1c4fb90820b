"""The image and the compose files in a real engine. It takes minutes of its own, so it runs only where it is named."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.containers.engine import SLOWLY_S, Project, done, why_not
from tests.support.waiting import wait_until

HERE = Path(__file__).parent


@pytest.fixture
def project(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Project]:
    named = [Path(str(each).partition("::")[0]).resolve() for each in request.config.args]
    if not any(path == HERE or HERE in path.parents for path in named):
        pytest.skip("it takes minutes of its own; name it: pytest tests/containers/test_compose.py")
    if why := why_not():
        pytest.skip(why)
    done("docker", "build", "--network", "host", "-t", "avatar-eraser:local", ".")
    project = Project(tmp_path)
    try:
        yield project
    finally:
        project("down", "--volumes", "--timeout", "10")


def numbered(first: int, last: int) -> str:
    return "".join(f"job-{number:05}\n" for number in range(first, last + 1))


def test_what_is_accepted_is_deleted_whatever_container_is_killed_scaled_or_taken_down(project: Project) -> None:
    up = ("up", "-d", "--no-build")
    project(*up)
    for service in ("simulator", "redis", "worker", "beat", "console"):
        (container,) = project.inspect(service)
        assert container["State"]["Health"]["Status"] == "healthy", service
        assert container["HostConfig"]["ReadonlyRootfs"] is True, service
    assert f"http://127.0.0.1:{project.port}\n" in project("logs", "ready")
    with urllib.request.urlopen(f"http://127.0.0.1:{project.port}/healthz", timeout=SLOWLY_S) as healthy:
        assert healthy.status == 200
    project.eraser("health")
    assert project.eraser("doctor").endswith("Nothing is wrong.\n")

    # one deletion, seen from both sides
    (line,) = project.eraser("request", "job-00001", "--reason", "TRY-1", "--wait", "60s", "--json").splitlines()
    assert json.loads(line)["state"] == "deleted"
    assert "job-00001" not in project.simulator("job_ids")

    # a worker is killed with calls under way, and Redis with more to do; then there are three workers
    project.eraser("request", "--from-file", "-", "--reason", "TRY-2", "--max", "200", input=numbered(2, 201))
    project.kill("worker")
    project.eraser("request", "--from-file", "-", "--reason", "TRY-3", "--max", "200", input=numbered(202, 401))
    project.kill("redis")
    project(*up, "--scale", "worker=3")
    assert len(project.inspect("worker")) == 3
    project.eraser("request", "--from-file", "-", "--reason", "TRY-4", "--max", "200", input=numbered(402, 601))

    def left() -> int:
        states = project.states()
        assert states["dead"] == 0
        return states["pending"] + states["running"]

    wait_until(lambda: left() == 0, SLOWLY_S, "all is deleted", every=1)
    ended = project.states()
    assert ended["deleted"] + ended["gone"] == 601
    assert project.simulator("job_ids") == numbered(602, 1000).split()
    stats = project.simulator("stats")
    assert (stats["effects"], stats["max_overlap"]) == (601, 1)
    status = json.loads(project.eraser("status", "--json"))
    assert len([worker for worker in status["workers"] if not worker["silent"]]) == 3

    # a simulator that starts anew has another CA; nobody else needs a restart
    project("restart", "simulator")
    (line,) = project.eraser("request", "job-00700", "--reason", "TRY-5", "--wait", "120s", "--json").splitlines()
    assert json.loads(line)["state"] == "deleted"

    # everything is taken down, and comes back with what was recorded
    project.eraser("request", "job-00701", "--after", "1h", "--reason", "TRY-6")
    before = project.states(), project.eraser("show", "job-00001", "--json")
    project("down", "--timeout", "60")
    assert project.inspect("worker") == []
    project(*up)
    assert (project.states(), project.eraser("show", "job-00001", "--json")) == before
    (line,) = project.eraser("request", "job-00702", "--reason", "TRY-7", "--wait", "60s", "--json").splitlines()
    assert json.loads(line)["state"] == "deleted"
