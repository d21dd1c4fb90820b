"""Writes docs/ledger.md: `python -m worker.ledger.schema.page > docs/ledger.md`. A test compares them."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from worker.ledger.schema.erasure import ErasureField
from worker.ledger.schema.fields import NEW_ROUND, Field
from worker.ledger.schema.gate import GateField
from worker.ledger.schema.keys import Key
from worker.ledger.schema.states import INDEX, TRANSITIONS, VERSION, dropped_on

_HEAD = f"""# What Redis holds

Made from `worker/ledger/schema/` (version {VERSION}). Change it there, then run
`python -m worker.ledger.schema.page > docs/ledger.md`.

Read it beside `redis-cli`. Change nothing by hand: `eraser` has a command for what you may want to do, and what does
not fit together is put aside (see [damage](damage.md)). Times are ms since 1970. To see one deletion:

    redis-cli HGETALL "eraser:{{default}}:d:PROJECT_ID/JOB_ID"
"""


def page() -> str:
    """The page, as Markdown."""
    return "\n".join((_HEAD, *_states(), *_fields(), *_keys(), *_erasures(), *_gate()))


def _table(heads: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> Iterator[str]:
    yield "| " + " | ".join(heads) + " |"
    yield "|---" * len(heads) + "|"
    yield from ("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)
    yield ""


def _states() -> Iterator[str]:
    yield "## States\n\nA deletion is in exactly one index. Entering a state drops the fields that belong to others.\n"
    rows = ((f"`{state}`", _names(INDEX[state]), _names(dropped_on(state))) for state in INDEX)
    yield from _table(("State", "Index", "Dropped on entering it"), rows)
    yield f"A new round of attempts drops {_names(dropped_on(NEW_ROUND))}.\n"
    rows = ((f"`{was}`" if was else "", f"`{becomes}`", by) for (was, becomes), by in TRANSITIONS.items())
    yield from _table(("From", "To", "By"), rows)


def _fields() -> Iterator[str]:
    yield f"## Fields of a record\n\nHash `{Key.RECORD}<project>/<job>`.\n"
    rows = ((f"`{one}`", f"`{one.name.lower()}`", one.type, one.meaning, one.set_by) for one in Field)
    yield from _table(("Stored as", "Name", "Type", "Meaning", "Set by"), rows)


def _keys() -> Iterator[str]:
    yield "## Keys of an account\n\nEach begins with `NAMESPACE:{<account>}:`.\n"
    rows = ((f"`{one}{f'<{one.of}>' if one.of else ''}`", one.type, one.holds, one.ends) for one in Key)
    yield from _table(("Key", "Type", "Holds", "Taken away by"), rows)


def _erasures() -> Iterator[str]:
    yield f"## An erasure\n\nHash `{Key.ERASURE}<project>/<job>`: what is known of what the job leaves behind.\n"
    rows = ((f"`{one}`", one.meaning, one.set_by) for one in ErasureField)
    yield from _table(("Field", "Meaning", "Set by"), rows)


def _gate() -> Iterator[str]:
    yield f"## The gate\n\nHash `{Key.GATE}`: may this account be called now, and when?\n"
    yield from _table(("Field", "Meaning"), ((f"`{one}`", one.meaning) for one in GateField))


def _names(names: tuple[Key, ...] | list[Field]) -> str:
    return ", ".join(f"`{name}`" for name in names)


if __name__ == "__main__":
    sys.stdout.write(page())
