"""In a cluster a script may touch the keys of one slot only: those of one account, or of one matter outside of them.

The clock of the ledger's tests (`tests.support.ledgers.CLOCK`) refuses every other key to every script that it runs in.
"""

from __future__ import annotations

import re

import pytest
import redis
from redis.crc import key_slot

from tests.ledger.test_schema import SOURCES
from tests.support.ledgers import CLOCK
from worker.ledger.keys import Keys
from worker.ledger.schema.keys import Key
from worker.ledger.scripts import HEAD

PREFIX = "eraser:{one}:"


@pytest.mark.parametrize("name", SOURCES)
def test_no_script_makes_the_name_of_a_key_from_anything_but_the_keys_it_is_given(name: str) -> None:
    wrong = re.findall(r"\.p?call\('(?!TIME)[A-Z]+', *(?:'|\"|ARGV|options)[^,)]*", SOURCES[name])
    assert wrong == []


@pytest.mark.parametrize("key", ["elsewhere", "eraser:{two}:gate", "eraser:gate"])
@pytest.mark.parametrize("command", ["'GET'", "'DEL', KEYS[1] .. 'gate'", "'RENAME', KEYS[1] .. 'gate'"])
def test_the_tests_clock_refuses_a_key_of_another_slot(client: redis.Redis, key: str, command: str) -> None:
    client.set("test:clock", 1)
    assert client.eval(f"{HEAD}{CLOCK} redis.call('SET', KEYS[1] .. 'gate', '1') return redis_time()", 1, PREFIX) == 1
    with pytest.raises(redis.ResponseError, match=f"of another slot: {re.escape(key)}"):
        client.eval(f"{HEAD}{CLOCK} return redis.call({command}, ARGV[1])", 1, PREFIX, key)


@pytest.mark.parametrize("namespace", ["eraser", "staging"])
def test_what_one_script_is_given_is_of_one_slot(namespace: str) -> None:
    keys = Keys(namespace)
    together = [
        [keys.dispatcher, keys.wakeups, keys.wake_now],
        [keys.parked, f"{keys.parked}groups", f"{keys.parked}in:refused:p-1"],
        [keys.account("one"), *(keys.account("one") + key for key in Key)],
    ]
    for names in together:
        assert len({key_slot(name.encode()) for name in names}) == 1, names
