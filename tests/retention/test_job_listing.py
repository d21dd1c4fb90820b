"""Reading a project's jobs: to the end although they vanish, at the lookups' pace, and never a guess."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.metastudio.response import Listing, Response, TransportFailure
from worker.metastudio.targets.avatar_job import JobRow
from worker.retention.job_listing import PAGE, THROTTLED_TRIES, TRIES, Incomplete, JobListing


def row(job_id: str) -> JobRow:
    return JobRow(job_id, "TRAIN_FAILED")


def response(status: int | None, **more: Any) -> Response:
    return Response(status, None if status else TransportFailure.TIMEOUT, None, None, None, 1, **more)


@dataclass
class Server:
    """Lists its jobs by offset; `between` happens before each page, `faults` are given instead of pages."""

    jobs: list[str]
    between: Callable[[Server], None] = lambda _: None
    faults: list[Response] = field(default_factory=list)
    most: int = PAGE
    queries: list[int] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    turns: int = 0

    def page(self, *, offset: int, limit: int, **filters: Any) -> Listing:
        self.queries.append(offset)
        self.between(self)
        if self.faults:
            return Listing(self.faults.pop(0), None, None)
        rows = tuple(row(job) for job in self.jobs[offset : offset + min(limit, self.most)])
        return Listing(response(200, date=datetime(2026, 1, 1, tzinfo=UTC)), len(self.jobs), rows)

    def turn(self) -> None:
        self.turns += 1

    def pause(self, seconds: float) -> bool:
        self.waits.append(seconds)
        return False

    def read(self, **more: Any) -> list[str]:
        return [row.id for row in JobListing(self.page, self.turn, self.pause, **more).rows()]


def names(number: int) -> list[str]:
    return [f"job-{n:05d}" for n in range(number)]


@pytest.mark.parametrize("number", [0, 1, 9, 10, 11, 99, 100, 101, 190, 200, 1000])
def test_every_job_comes_once_in_order(number: int) -> None:
    server = Server(names(number))
    assert server.read() == names(number)
    assert server.turns == len(server.queries), "every page waits for its turn"


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 900), st.lists(st.tuples(st.integers(0, 899), st.integers(1, 300)), max_size=12))
def test_what_is_there_all_the_time_is_found_whatever_vanishes_meanwhile(
    number: int, losses: list[tuple[int, int]]
) -> None:
    rest = list(losses)

    def lose(server: Server) -> None:
        if rest:
            start, count = rest.pop(0)
            del server.jobs[start : start + count]

    server = Server(names(number), lose)
    found = server.read()
    assert len(found) == len(set(found))
    assert set(server.jobs) <= set(found)


def test_new_jobs_at_the_end_are_found_too() -> None:
    def gain(server: Server) -> None:
        if len(server.queries) < 5:
            server.jobs.append(f"new-{len(server.queries)}")

    server = Server(names(250), gain)
    assert set(server.read()) >= set(names(250))


def test_a_server_that_gives_fewer_than_asked_is_read_to_the_end() -> None:
    assert Server(names(130), most=20).read() == names(130)


def test_a_list_that_repeats_itself_is_told_not_taken_for_its_end() -> None:
    server = Server(names(500))
    stuck = JobListing(lambda **query: server.page(**query | {"offset": 0}), server.turn, server.pause)
    with pytest.raises(Incomplete, match="does not advance"):
        list(stuck.rows())


def test_a_list_that_counts_jobs_and_shows_none_is_not_taken_for_an_empty_project() -> None:
    blind = JobListing(lambda **_: Listing(response(200), 7, ()), lambda: None, lambda _: False)
    with pytest.raises(Incomplete, match="counts 7 jobs but shows none"):
        list(blind.rows())


def test_faults_are_tried_again_ever_more_patiently() -> None:
    server = Server(names(150), faults=[response(500), response(None), response(200)])
    assert server.read() == names(150)
    assert server.waits == [1.0, 2.0, 4.0]


def test_a_429_waits_as_long_as_it_says_and_is_no_failure() -> None:
    server = Server(names(10), faults=[response(429, retry_after_s=7.0)] + [response(429)] * (THROTTLED_TRIES - 2))
    assert server.read() == names(10)
    assert server.waits[0] == 7.0
    assert max(server.waits) <= 60.0


@pytest.mark.parametrize("status", [500, 503, None, 429])
def test_a_list_that_does_not_come_back_is_incomplete_and_keeps_what_it_had(status: int | None) -> None:
    server = Server(names(250))
    found: list[str] = []

    def fail(server: Server) -> None:
        if len(found) >= 100:
            server.faults = [response(status)]

    server.between = fail
    rows = JobListing(server.page, server.turn, server.pause).rows()
    with pytest.raises(Incomplete, match="does not give the list at offset 90"):
        found.extend(each.id for each in rows)
    assert found == names(100)
    assert len(server.waits) < (THROTTLED_TRIES if status == 429 else TRIES)


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_a_refusal_is_told_at_once(status: int) -> None:
    server = Server(names(10), faults=[response(status)])
    with pytest.raises(Incomplete, match=f"refuses the list: {status}"):
        server.read()
    assert server.waits == []


def test_a_token_that_was_too_old_is_renewed_once() -> None:
    server = Server(names(10), faults=[response(401)])
    assert server.read(renew=lambda _: True) == names(10)
    server = Server(names(10), faults=[response(401), response(401)])
    with pytest.raises(Incomplete):
        server.read(renew=lambda _: True)


def test_a_worker_that_stops_does_not_go_on_reading() -> None:
    server = Server(names(10), faults=[response(500)])
    with pytest.raises(Incomplete, match="stopped"):
        list(JobListing(server.page, server.turn, lambda _: True).rows())
