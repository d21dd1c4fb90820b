"""A simulator of this process, and who calls it by plain HTTP."""

from __future__ import annotations

import pytest

from tests.support.caller import Caller
from tests.support.library import LibraryCaller
from worker.simulator import Simulator


@pytest.fixture
def caller(simulator: Simulator) -> Caller:
    return Caller.of(simulator)


@pytest.fixture
def library(caller: Caller) -> LibraryCaller:
    return LibraryCaller(caller)
