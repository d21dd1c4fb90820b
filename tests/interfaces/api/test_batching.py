"""Requests written together: each has its own claim and answer, and while Redis is away nothing is half accepted."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import pytest
import redis

from tests.interfaces.api.test_deletions import problem
from tests.support.dead_letters import PROJECT
from tests.support.http_site import Site
from tests.support.ledgers import Bench
from worker.config.request_id import HTTP_REQUEST_ID
from worker.interfaces.api import batching
from worker.interfaces.api.batching import Batcher, Wanted
from worker.interfaces.web.problem_details import Problem
from worker.ledger.connection import connect
from worker.ledger.types import Accepted, DeletionRequest
from worker.local.embedded import EmbeddedRedis
from worker.model.errors import Unreachable
from worker.model.states import Lane
from worker.model.target import Target

CLAIMS = [
    DeletionRequest(lane=Lane.USER, by="shop", why="T-1", app_user="u-1"),
    DeletionRequest(lane=Lane.BULK, by="till", why="T-2", run="r-1", delay_s=60),
    DeletionRequest(lane=Lane.USER, by="shop/7", deadline_s=3600, force=True),
]


def test_claims_that_go_together_become_what_they_become_alone(client: redis.Redis) -> None:
    wanted = [(Target("p", job), claim) for job in ("a", "b", "a", "done") for claim in CLAIMS]
    one, many = Bench(client, account="one"), Bench(client, account="many")
    for bench in (one, many):
        bench.open()
        bench.request("done")
        bench.settle(bench.take())
    alone = [accepted for ref, claim in wanted for accepted in one.ledger.request([ref], claim)]
    together = many.ledger.request_each(wanted)
    assert together == alone
    assert many.woken[-1:] == [True]
    for bench in (one, many):
        bench.check_invariant()
    for job in ("a", "b", "done"):
        ours, theirs = many.record(job), one.record(job)
        assert {name: value for name, value in ours.items() if name != "au"} == {
            name: value
            for name, value in theirs.items()
            if name != "au"  # hashed with each account's own key
        }


def test_what_is_recorded_together_is_of_no_single_http_request() -> None:
    found = []

    async def write(wanted: Wanted) -> list[Accepted]:
        found.append(HTTP_REQUEST_ID.get())
        return [Accepted(ref, "pending", deduplicated=False) for ref, _ in wanted]

    async def one() -> None:
        HTTP_REQUEST_ID.set("mine")
        await Batcher(write).record("p", Target("p", "job-1"), DeletionRequest())
        assert HTTP_REQUEST_ID.get() == "mine"

    asyncio.run(one())
    assert found == [None]


class Writer:
    """Stands for Redis: takes its time, and says what it was given at once."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.go = asyncio.Event()
        self.fails = False

    async def __call__(self, wanted: Wanted) -> list[Accepted]:
        self.batches.append(len(wanted))
        await self.go.wait()
        if self.fails:
            raise Unreachable("away")
        return [Accepted(ref, "pending", deduplicated=False) for ref, _ in wanted]


def test_what_comes_meanwhile_goes_together_and_everybody_gets_the_own_answer() -> None:
    async def story() -> None:
        writer = Writer()
        api = Batcher(writer)
        tasks = [asyncio.create_task(api.record("a", Target("p", f"j{n}"), DeletionRequest())) for n in range(1200)]
        other = asyncio.create_task(api.record("b", Target("q", "j"), DeletionRequest()))
        await asyncio.sleep(0)
        writer.go.set()
        assert [accepted.ref.id for accepted in await asyncio.gather(*tasks)] == [f"j{n}" for n in range(1200)]
        assert (await other).ref == Target("q", "j")
        assert sorted(writer.batches) == [1, 200, 500, 500], "one account's never go with another's"
        assert (await api.record("a", Target("p", "late"), DeletionRequest())).ref.id == "late"

    asyncio.run(story())


def test_everybody_of_a_failed_batch_hears_of_it_and_the_next_one_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "WAITING", 5)

    async def story() -> None:
        writer = Writer()
        writer.fails = True
        api = Batcher(writer)
        first = asyncio.create_task(api.record("a", Target("p", "first"), DeletionRequest()))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        waiting = [asyncio.create_task(api.record("a", Target("p", f"j{n}"), DeletionRequest())) for n in range(5)]
        await asyncio.sleep(0)
        with pytest.raises(Problem, match="too many"):
            await api.record("a", Target("p", "one more"), DeletionRequest())
        writer.go.set()
        failed = await asyncio.gather(first, *waiting, return_exceptions=True)
        assert [type(each) for each in failed] == [Unreachable] * 6
        writer.fails = False
        assert await api.record("a", Target("p", "after"), DeletionRequest())

    asyncio.run(story())


def test_without_redis_every_answer_is_503_and_nothing_is_half_accepted(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="eraser-") as directory:
        server = EmbeddedRedis(Path(directory), appendfsync="always")
        server.start()
        site = Site(server.url, tmp_path / "tokens.toml")
        many = [f"job-{n}" for n in range(400)]
        with site.client:
            try:
                assert site.ask("before").status_code == 202
                server.stop()
                refused = [
                    site.ask("during"),
                    site.ask(*many),
                    site.ask("keyed", headers={"Idempotency-Key": "k"}),
                    site.call("GET", f"/api/projects/{PROJECT}/deletions/before"),
                    site.call("DELETE", f"/api/projects/{PROJECT}/deletions/before?reason=T"),
                    site.ask("at", at="2030-01-01T00:00:00Z"),
                ]
                for response in refused:
                    assert "try again" not in problem(response, 503, "redis-away")["detail"], "it is said once"
                    assert response.headers["Retry-After"] == "5"
                    assert directory not in response.text
                server.start()
                assert site.show("before")["state"] == "pending"
                for job in ("during", "keyed", "at", many[0], many[-1]):
                    assert site.call("GET", f"/api/projects/{PROJECT}/deletions/{job}").status_code == 404
                assert site.ask(*many).json()["accepted"] == 400
            finally:
                server.stop()


def test_a_full_redis_is_503_too_and_what_is_there_stays(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="eraser-") as directory, EmbeddedRedis(Path(directory)) as server:
        site = Site(server.url, tmp_path / "tokens.toml")
        with site.client:
            assert site.ask("before").status_code == 202
            with connect(server.url) as client:
                client.set("filler", "x" * 5_000_000)
                client.config_set("maxmemory", "6mb")
            site.app.ledger("default")._room_checked = -10
            for response in (site.ask("during"), site.ask("during", "and-this")):
                problem(response, 503, "redis-full")
                assert response.headers["Retry-After"] == "60"
            assert site.show("before")["state"] == "pending"


@pytest.mark.parametrize("trouble", ["away", "full"])
def test_of_more_than_one_script_the_answer_says_how_many_are_recorded(tmp_path: Path, trouble: str) -> None:
    with tempfile.TemporaryDirectory(prefix="eraser-") as directory, EmbeddedRedis(Path(directory)) as server:
        site = Site(server.url, tmp_path / "tokens.toml")
        ledger = site.app.ledger("default")

        def after_the_first(_: str) -> None:
            if trouble == "away":
                server.stop()
                return
            with connect(server.url) as client:
                client.config_set("maxmemory", "1mb")
            ledger._room_checked = -10

        site.app.defer = lambda wake: wake()  # right after the script, as a command does
        site.app.wake = lambda account, now: after_the_first(account)  # type: ignore[method-assign,misc]
        many = [f"job-{n}" for n in range(900)]
        with site.client:
            refused = site.ask(*many)
            body = problem(refused, 503, {"away": "redis-away", "full": "redis-full"}[trouble])
            assert body["recorded"] == 500
            assert body["detail"].startswith("500 are recorded; of the others: ")
