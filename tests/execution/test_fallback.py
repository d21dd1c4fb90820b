"""Executors that answer wake-ups which could not be sent: a few at once, and the worker's end waits for them."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from tests.support.waiting import wait_until
from worker.execution.fallback import FallbackExecutors
from worker.model.errors import Unreachable


class Work:
    """Work that lasts until the test says so."""

    def __init__(self) -> None:
        self.begun: list[tuple[str, str]] = []
        self.may_end = threading.Event()
        self.error: Exception | None = None

    def __call__(self, account: str, wakeup: str) -> None:
        self.begun.append((account, wakeup))
        assert self.may_end.wait(60)
        if self.error:
            raise self.error


@pytest.fixture
def work() -> Iterator[Work]:
    work = Work()
    yield work
    work.may_end.set()


def test_a_wakeup_that_could_not_be_sent_is_answered(work: Work) -> None:
    FallbackExecutors(work).response("default", "7")
    wait_until(lambda: work.begun == [("default", "7")])


def test_no_more_than_a_few_stand_in_at_once(work: Work) -> None:
    fallback = FallbackExecutors(work, most=2)
    assert [fallback.response("default", str(n)) for n in range(3)] == [True, True, False]
    work.may_end.set()
    fallback.wait(60)
    assert fallback.response("default", "4")
    fallback.wait(60)


def test_the_end_of_the_worker_waits_for_those_who_work(work: Work) -> None:
    fallback = FallbackExecutors(work)
    fallback.response("default", "1")
    wait_until(lambda: len(work.begun) == 1)
    assert not fallback.wait(0), "it is still at work after an impatient wait"
    work.may_end.set()
    assert fallback.wait(60)


@pytest.mark.parametrize("error", [Unreachable("Redis does not answer"), ZeroDivisionError()])
def test_a_fault_in_one_frees_its_place(work: Work, error: Exception) -> None:
    work.error = error
    fallback = FallbackExecutors(work, most=1)
    fallback.response("default", "1")
    work.may_end.set()
    fallback.wait(60)
    assert fallback.response("default", "2")
    fallback.wait(60)
