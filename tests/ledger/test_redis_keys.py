"""Each key has its name in the documents, and something that ends it; what nobody would take away is found."""

from __future__ import annotations

import pytest

from tests.support.ledgers import Bench
from tests.support.redis_keys import ACCOUNT, described, wrong_keys
from worker.ledger.connection import connect


def test_every_key_of_an_account_is_told_where_they_are_described() -> None:
    assert described() == set(ACCOUNT)


@pytest.mark.parametrize(
    ("left", "says"),
    [
        (("SET", "eraser:{default}:no-such", 1), "no table names it"),
        (("SET", "eraser:no-such", 1), "no table names it"),
        (("SET", "somebody-elses", 1), "no table names it"),
        (("SET", "eraser:{default}:ends:1", 1), "it has no expiry"),
        (("HSET", "eraser:{default}:audit:a1", "act", "x"), "a1 is not in audit"),
        (("ZADD", "eraser:{default}:letters:g", 1, "p/job-1"), "g is not in groups"),
        (("ZADD", "eraser:{default}:holds:unknown", 1, "p/job-9"), "p/job-9 has no record"),
        (("HSET", "eraser:{default}:gate", *(f"f{n // 2}" for n in range(1200))), "600 fields"),
    ],
)
def test_what_nobody_would_take_away_is_found(redis_url: str, left: tuple[object, ...], says: str) -> None:
    client = connect(redis_url)
    bench = Bench(client)
    bench.request("job-1")
    assert wrong_keys(client) == []
    client.execute_command(*left)
    (wrong,) = wrong_keys(client)
    assert says in wrong
