"""A key that signs receipts, and one of a witness."""

from __future__ import annotations

import pytest

from tests.support.receipt_keys import Keys, new_keys


@pytest.fixture(scope="session")
def log(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return new_keys(tmp_path_factory.mktemp("keys"), "log")


@pytest.fixture(scope="session")
def witness(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return new_keys(tmp_path_factory.mktemp("keys"), "witness")
