"""What Redis holds is named once: in worker/ledger/schema, and nowhere else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from worker.ledger import scripts
from worker.ledger.schema.fields import NEW_ROUND, Field
from worker.ledger.schema.keys import Key
from worker.ledger.schema.page import page
from worker.ledger.schema.states import INDEX, TRANSITIONS, dropped_on
from worker.model.states import State

ROOT = Path(__file__).parents[2]
LUA = sorted((ROOT / "worker" / "ledger" / "lua").glob("*.lua"))
SOURCES = {path.stem: re.sub(r"--.*", "", path.read_text(encoding="utf-8")) for path in LUA}
# words of other records as well, or names of what a caller hands over
COMMON = {*("at", "by", "why", "text", "moment", "user", "back", "later", "was", "listed", "used", "lost", "look")}
COMMON |= {"wait", "busy", "owner", "past", "cut", "pol", "unseen", "refused", "asset", "voice"}


def test_the_page_is_what_the_schema_says() -> None:
    text = (ROOT / "docs" / "ledger.md").read_text(encoding="utf-8")
    assert text == page(), "run: python -m worker.ledger.schema.page > docs/ledger.md"


def test_every_script_says_names_that_the_schema_knows() -> None:
    for name in SOURCES:
        if not name.startswith("_"):
            assert "F." not in re.sub(r"'[^']*'", "", scripts.load(name).source).replace("REF.", "")


@pytest.mark.parametrize("field", [one for one in Field if one not in COMMON and one != one.name.lower()])
def test_no_script_says_a_stored_name_of_a_field(field: Field) -> None:
    wrong = [name for name, source in SOURCES.items() if re.search(rf"'{field}'", source)]
    assert wrong == [], f"{field} is F.{field.name.lower()}"


@pytest.mark.parametrize("key", Key)
def test_no_script_says_a_stored_name_of_a_key(key: Key) -> None:
    wrong = [name for name, source in SOURCES.items() if re.search(rf"(P|KEYS\[1\]) \.\. '{re.escape(key)}'", source)]
    assert wrong == [], f"{key} is K.{key.name.lower()}"


def test_nothing_is_in_the_schema_that_nothing_uses() -> None:
    lua = "\n".join(SOURCES.values())
    python = "\n".join(
        path.read_text(encoding="utf-8") for path in (ROOT / "worker").rglob("*.py") if path.parent.name != "schema"
    )
    for kind, names in (("F", Field), ("K", Key)):
        word = "Field" if kind == "F" else "Key"
        used = set(re.findall(rf"\b{kind}\.(\w+)", lua)) | {
            one.lower() for one in re.findall(rf"\b{word}\.(\w+)", python)
        }
        unused = {one.name.lower() for one in names} - used
        by_their_states = {"due_user", "due_bulk", "deleted", "gone", "cancelled", "discarded", "dead"}
        assert unused <= by_their_states, unused


def test_each_state_has_its_index_and_its_ways() -> None:
    assert set(INDEX) == set(State)
    assert {state for ways in TRANSITIONS for state in ways} - {"", "any", "dead as before"} == set(State)


@pytest.mark.parametrize("state", [*State, NEW_ROUND])
def test_no_lease_outlives_its_state(state: str) -> None:
    dropped = dropped_on(state)
    assert (Field.LEASE_TOKEN in dropped) is (state not in ("running", NEW_ROUND))
    assert Field.DEADLINE not in dropped
