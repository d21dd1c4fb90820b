"""The suite on several processes: nothing is left out, and what takes long begins first."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tests.parallel import SECONDS, TOGETHER, USUAL, longest_first, unit

TESTS = Path(__file__).parent
LONG = "tests/acceptance/test_kills.py::test_twenty_killed_workers_lose_nothing_and_delete_nothing_twice"


def test_every_test_that_is_called_long_exists() -> None:
    sources = "\n".join(path.read_text(encoding="utf-8") for path in TESTS.rglob("test_*.py"))
    assert [name for name in SECONDS if f"def {name}(" not in sources] == []
    assert [place for place in (*TOGETHER, *USUAL) if not (TESTS.parent / place).exists()] == []


def test_the_longest_goes_first_and_a_module_stays_in_one_piece() -> None:
    short = [f"tests/metastudio/test_states.py::test_{n}" for n in range(3)]
    together = [f"{TOGETHER[0]}::test_{n}[a::b]" for n in range(2)]
    items: list[Any] = [SimpleNamespace(nodeid=each) for each in (short[0], together[0], *short[1:], LONG, together[1])]
    longest_first(items)
    assert [item.nodeid for item in items] == [LONG, *together, *short]
    assert [unit(each) for each in (LONG, *together, *short)] == [
        LONG,
        *[TOGETHER[0]] * 2,
        *["tests/metastudio/test_states.py"] * 3,
    ]
