"""Removes texts of who and why from receipts that are stored here: from Redis, and from the files of days.

Hashes, chain, trees and signatures stay what they were (see `commitments`). What was exported, printed or copied before
still has the texts, and so have backups; Redis's append-only file has them until it is rewritten.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worker.config.files import draft_of
from worker.ledger.deletions import Ledger
from worker.ledger.receipts import ReceiptEntry, Receipts
from worker.receipts import commitments
from worker.receipts.dayfiles import DayFiles, checked, kept_file, raw_lines, sync
from worker.receipts.receipt import redacted_fields, sealable
from worker.receipts.serialization import Form, is_trailer, written

Wanted = Callable[[dict[str, Any], str, str], bool]  # of a receipt: which place, what text


@dataclass
class Redacted:
    """How many receipts lost a text, and how many could not: those of schema version 1 have no commitments."""

    in_redis: int = 0
    in_files: int = 0
    kept: int = 0


def redact(ledger: Ledger, directory: Path | None, wanted: Wanted) -> Redacted:
    """Remove every text that is wanted, wherever it stands. directory: of the files of days, if there is one.

    What moves from Redis to a file meanwhile is found there. Raises `DayFileWrong`, `OSError` and `Unreachable`.
    """
    receipts, found = Receipts(ledger.client, ledger.account, ledger.keys), Redacted()
    while True:
        archived, found.kept = receipts.progress().archived, 0
        _in_redis(ledger, receipts, wanted, found)
        if directory is not None:
            _in_files(DayFiles(directory, ledger.account), wanted, found)
        if receipts.progress().archived == archived:
            return found


def _in_redis(ledger: Ledger, receipts: Receipts, wanted: Wanted, found: Redacted) -> None:
    exposed: set[str | None] = set()
    for entry in receipts.each(receipts.progress().archived.id):
        without = _without(sealable(ledger.account, entry), wanted, found)
        if without is not None:
            exposed |= {_secret(entry)} - {None}
            found.in_redis += _replace(ledger, entry, without)
    for entry in receipts.each(receipts.progress().archived.id) if exposed else ():
        if _secret(entry) in exposed:  # written by the same move: its secret would lead to the salts that have gone
            _replace(ledger, entry, sealable(ledger.account, entry))


def _replace(ledger: Ledger, entry: ReceiptEntry, line: dict[str, Any]) -> int:
    fields = [text for pair in redacted_fields(entry, line).items() for text in pair]
    options = {"n": entry.n, "id": entry.id, "fields": fields}
    return int(ledger.run_script("redact", options)["redacted"])


def _secret(entry: ReceiptEntry) -> str | None:
    """What the receipts of one move have in common (see `lua/_receipt.lua`); None: it has none any more."""
    return entry.fields.get("salt") or None


def _in_files(files: DayFiles, wanted: Wanted, found: Redacted) -> None:
    for path in files.paths():
        if sum(_without(line, wanted, found) is not None for line in _lines(path)):
            found.in_files += _rewrite(path, wanted)


def _rewrite(path: Path, wanted: Wanted) -> int:
    """Write a day's file again without the texts; it is replaced once the new one verifies with the same head."""
    count, head = 0, checked(path)["head"]
    with draft_of(path) as draft:
        with kept_file(draft) as file:
            for raw in raw_lines(path):
                line = json.loads(raw)
                without = None if is_trailer(line) else _without(line, wanted, Redacted())
                count += without is not None
                file.write(f"{written(Form.JSONL, without or line)}\n")
        checked(draft, head)
        draft.replace(path)
        sync(path.parent)
    return count


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    return (line for line in map(json.loads, raw_lines(path)) if not is_trailer(line))


def _without(line: dict[str, Any], wanted: Wanted, found: Redacted) -> dict[str, Any] | None:
    """The receipt without what is wanted; None: it has nothing of that."""
    chosen = [place for place, text in commitments.texts(line).items() if wanted(line, place, text)]
    if not chosen:
        return None
    if "commitments" not in line:
        found.kept += 1
        return None
    return commitments.redact(line, lambda place, _: place in chosen)
