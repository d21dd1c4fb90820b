"""Threads for what blocks: nobody waits longer for one than Redis may take to answer."""

from __future__ import annotations

import threading

import anyio
import pytest

from tests.interfaces.api.test_deletions import problem
from tests.support.console_pages import Console, words
from tests.support.http_site import DELETIONS, Site
from worker.interfaces.web.bounded_pool import BoundedPool, Busy


def test_who_would_wait_too_long_is_told_and_a_place_is_given_back() -> None:
    go = threading.Event()

    async def story() -> None:
        pool = BoundedPool(2, patience_s=0.05)
        async with anyio.create_task_group() as group:
            for _ in range(2):
                group.start_soon(pool.run, go.wait)
            await anyio.wait_all_tasks_blocked()
            with pytest.raises(Busy):
                await pool.run(lambda: None)
            go.set()
        with pytest.raises(ZeroDivisionError):
            await pool.run(lambda: 1 // 0)
        assert [await pool.run(lambda: "done") for _ in range(3)] == ["done"] * 3

    anyio.run(story)


def test_a_caller_hears_that_nothing_was_done(site: Site) -> None:
    site.starlette.state.api.pool = BoundedPool(0, patience_s=0)
    for refused in (site.ask("a"), site.ask("a", "b"), site.call("GET", f"{DELETIONS}/a")):
        assert "nothing was done" in problem(refused, 503, "busy")["detail"]
        assert refused.headers["Retry-After"] == "1"


def test_a_person_reads_it_on_a_page(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.interfaces.web.bounded_pool.THREADS", 0)
    monkeypatch.setattr("worker.interfaces.web.bounded_pool.PATIENCE_S", 0)
    console = Console(redis_url)
    with console.client:
        response = console.get("/dead")
    assert response.status_code == 503
    assert "Too many requests wait for Redis; nothing was done" in words(response.text)
