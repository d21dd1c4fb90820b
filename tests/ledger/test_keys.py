"""Names in Redis and at the broker: written in one place, and those of two namespaces never meet."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.config.namespace import NAMESPACE, why_bad_namespace
from worker.config.settings import Settings
from worker.ledger.keys import OURS, KeyName, Keys
from worker.model.errors import SettingsError

ROOT = Path(__file__).parents[2]
SOURCES = [path for folder in ("worker", "tasks") for path in sorted((ROOT / folder).rglob("*.py"))]
NAMESPACES = st.from_regex(r"[a-z0-9][a-z0-9-]{0,8}", fullmatch=True)
READERS = {"Ledger", "ReadModel", "Glance", "AuditLog", "Receipts", "Sealer", "heads", "unsealed"}


def names(keys: Keys) -> set[str]:
    """Everything that an installation calls something, with an account called `a` and one called `b`."""
    fixed = {getattr(keys, name) for name, kind in vars(Keys).items() if isinstance(kind, KeyName)}
    return fixed | {keys.account("a"), keys.account("b"), keys.session("x"), keys.tries("x")}


@given(one=NAMESPACES, other=NAMESPACES)
def test_no_name_of_one_namespace_begins_with_the_prefix_of_another(one: str, other: str) -> None:
    if one == other:
        return
    for name in names(Keys(one)):
        bare = name.removeprefix("{")
        assert bare not in names(Keys(other))
        assert not bare.startswith((f"{other}:", f"{other}."))


def test_the_default_is_eraser() -> None:
    assert Settings.load({}).namespace == NAMESPACE == "eraser"
    assert OURS.account("default") == "eraser:{default}:"
    assert (OURS.requests, OURS.wakeup_queue) == ("eraser", "eraser.wakeups"), (
        "not Celery's own queue: others drain that"
    )


@pytest.mark.parametrize("text", ["Staging", "a:b", "a.b", "a{b", "-a", "a b", "x" * 33, "ä", "celery", "unacked"])
def test_what_cannot_be_a_namespace_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="ERASER_NAMESPACE"):
        Settings.load({"ERASER_NAMESPACE": text})


@given(NAMESPACES)
def test_lower_case_letters_digits_and_dashes_are_good(text: str) -> None:
    assert why_bad_namespace(text) is None or text in ("celery", "celeryev", "unacked")


def strings(path: Path) -> Iterator[str]:
    """Every text in a module, but for what documents it."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    documents = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documents:
            yield node.value


def test_the_prefix_is_written_in_one_place() -> None:
    written = {
        f"{path.relative_to(ROOT)}: {text}"
        for path in SOURCES
        if path.name != "keys.py"
        for text in strings(path)
        if re.match(r"\{?eraser:(?! )", text) or text == "eraser.wakeups"
    }
    assert not written, "take the name from `running.keys`"


def test_every_reader_of_the_ledger_is_told_its_namespace() -> None:
    """It has a default for tests only; in the product each is made with the keys of its runtime."""
    untold = [
        f"{path.relative_to(ROOT)}:{node.lineno} {ast.unparse(node)}"
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in READERS
        and not any("keys" in ast.unparse(one) for one in (*node.args, *(word.value for word in node.keywords)))
    ]
    assert untold == []
