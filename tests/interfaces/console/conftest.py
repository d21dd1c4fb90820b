"""The console that most of these tests look at."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.console_pages import Console


@pytest.fixture
def console(redis_url: str) -> Iterator[Console]:
    one = Console(redis_url)
    with one.client:
        yield one
