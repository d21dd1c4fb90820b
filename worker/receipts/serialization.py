"""Serialization: a receipt and the trailer as one line of JSON or CSV, and back. Pure. Each value has only one form.

jsonl   one object per line, keys in the order of `COLUMNS`; the trailer is the last one. A receipt of another version
        of the schema (`v`) may have fewer fields, or more before those of the chain
csv     a line of names, then one receipt per line; null is an empty cell, lists are JSON; the trailer is the last
        line, one cell that starts with #
"""

from __future__ import annotations

import csv
import io
import json
from enum import StrEnum
from typing import Any, Final

from worker.ledger.schema.states import VERSION as SCHEMA
from worker.model.errors import UsageError
from worker.model.target import JOB
from worker.receipts.chain import hash_of
from worker.receipts.commitments import NAMES, OF_CLAIMS
from worker.receipts.receipt import FIELDS, NUMBERS, VERSION

_CHAIN: Final = (*NAMES, "prev", "hash")  # the fields of the chain
COLUMNS: Final = (*FIELDS, *_CHAIN)
_KINDS: Final = dict.fromkeys(COLUMNS, str | None) | (
    dict.fromkeys(NUMBERS, int)
    | dict.fromkeys(("account", "project_id", "kind", "id", "state", "prev", "hash"), str)
    | {"status": int | None, "claims": list, "related": list | str | None, "salts": dict, "commitments": dict}
)
_JSON: Final = ("claims", *NAMES)  # JSON in a cell of CSV
_MOST: Final = 2**53  # the largest number that is exact in every JSON parser; ours are far below it
_SIGNED: Final = {"algorithm", "key", "value"}
KIND: Final = "avatar-eraser receipts"  # marks a trailer


TRAILER: Final = {"kind": str, "v": int, "account": str, "count": int, "first_n": int | None, "last_n": int | None} | (
    {"prev": str, "head": str, "selection": str | None, "day": str | None, "root": str, "checkpoint": str | None}
    | {"signature": dict | None, "hash": str}
)
_TREE: Final = ("selection", "day", "root", "checkpoint")  # what trailers of schema version 1 have not


class Form(StrEnum):
    """The format of receipts."""

    JSONL = "jsonl"
    CSV = "csv"


def header(form: Form) -> str | None:
    """The line before the first receipt."""
    return _cells(COLUMNS) if form is Form.CSV else None


def written(form: Form, line: dict[str, Any]) -> str:
    """Write a receipt or the trailer, without its end of line."""
    if form is Form.JSONL:
        return _json(line)
    if is_trailer(line):
        return _cells([f"# {_json(line)}"])
    if tuple(line) != COLUMNS:
        raise UsageError(
            f"receipt {line['n']:,} has fields of schema version {line['v']}, which fit in no column: export without "
            "-o csv, or with a program of that version"
        )
    return _cells([_cell(line[name]) for name in COLUMNS])


def read(form: Form, text: str) -> dict[str, Any]:
    """Read the receipt or the trailer of a line. Raises `ValueError` for any other form than that of `written`, and for
    an unknown version (see `newer`)."""
    try:
        line = _from_json(text) if form is Form.JSONL else _from_csv(text)
        if line["v"] > SCHEMA + 1:
            raise ValueError("a newer version")
        kinds = (_trailer_kinds if is_trailer(line) else _kinds_of)(line)
        if tuple(line) != tuple(kinds) or not all(isinstance(line[name], kind) for name, kind in kinds.items()):
            raise ValueError("other fields")
        if any(isinstance(value, bool) or (isinstance(value, int) and abs(value) > _MOST) for value in line.values()):
            raise ValueError("a number that none of ours is")
        if not (_is_whole(line) if is_trailer(line) else _names_a_target(line)):
            raise ValueError("parts that do not go together")
        if written(form, line) != text:
            raise ValueError("written otherwise")
    except (ValueError, TypeError, KeyError, RecursionError, csv.Error) as error:
        raise ValueError(str(error)) from None
    return line


def newer(form: Form, text: str) -> int | None:
    """The version of a line that a newer program wrote, which this one does not know; None: it is no such line."""
    try:
        line = _from_json(text) if form is Form.JSONL else _from_csv(text)
    except (ValueError, TypeError, RecursionError, csv.Error):
        return None
    version = line.get("v")
    is_newer = isinstance(version, int) and version > SCHEMA + 1 and line.get("hash") == hash_of(line)
    return version if is_newer else None


def _kinds_of(receipt: dict[str, Any]) -> dict[str, Any]:
    """What each field has to be. The receipt of another version may have fewer, or more as text before the chain's."""
    if receipt["v"] == VERSION:
        return _KINDS
    chain = _CHAIN if receipt["v"] > 1 else _CHAIN[len(NAMES) :]
    names = (*FIELDS[: len(receipt) - len(chain)], *tuple(receipt)[len(FIELDS) : -len(chain)])
    return {name: _KINDS.get(name, str | None) for name in (*names, *chain)}


def _trailer_kinds(trailer: dict[str, Any]) -> dict[str, Any]:
    left_out = _TREE if trailer["v"] == 1 else ()
    return {name: kind for name, kind in TRAILER.items() if name not in left_out}


def _is_whole(trailer: dict[str, Any]) -> bool:
    """Whether a trailer names both ends, if there are receipts, all parts of its signature, its checkpoint's day."""
    named = [trailer[name] is not None for name in ("first_n", "last_n")]
    signature = trailer["signature"]
    if trailer.get("checkpoint") is not None and trailer["day"] is None:
        return False
    return named == [trailer["count"] > 0] * 2 and (signature is None or set(signature) == _SIGNED)


def _names_a_target(receipt: dict[str, Any]) -> bool:
    """Whether a job, and nothing else, is also named by its job id, and each claim begins with who and why."""
    named = receipt["job_id"] == (receipt["id"] if receipt["kind"] == JOB else None)
    return bool(named and all(tuple(claim)[: len(OF_CLAIMS)] == OF_CLAIMS for claim in receipt["claims"]))


def is_trailer(line: dict[str, Any]) -> bool:
    return line.get("kind") == KIND


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _from_json(text: str) -> dict[str, Any]:
    line = json.loads(text)
    if not isinstance(line, dict):
        raise ValueError("no object")
    return line


def _cells(values: Any) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="").writerow(values)
    return out.getvalue()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else _json(value)


def _from_csv(text: str) -> dict[str, Any]:
    (cells,) = csv.reader([text], strict=True)
    if len(cells) == 1 and cells[0].startswith("# "):
        return _from_json(cells[0].removeprefix("# "))
    return {name: _value(name, cell) for name, cell in zip(COLUMNS, cells, strict=True)}


def _value(name: str, cell: str) -> Any:
    if cell == "":
        return None
    if name in NUMBERS or name in _JSON or (name == "related" and cell.startswith("[")):
        return json.loads(cell)
    return cell
