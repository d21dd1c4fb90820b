"""The executor that some of these tests look at."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from tests.execution.test_executor import Shop
from worker.simulator import Simulator


@pytest.fixture
def shop(simulator: Simulator, client: redis.Redis) -> Iterator[Shop]:
    """Its key was answered before, and there are no jobs yet."""
    shop = Shop(simulator, client)
    shop.trust_the_key()
    yield shop
    shop.client.close()
