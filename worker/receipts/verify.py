"""Verifies a file of receipts, offline. Names the first line that was altered, dropped, moved or added.

By itself a file shows every change, unless all hashes were recomputed. That is detected only with something kept
elsewhere: its head, or the public key of its signature.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from worker.ledger.schema.states import VERSION
from worker.receipts.chain import genesis, hash_of
from worker.receipts.commitments import redacted_places, why_wrong
from worker.receipts.merkle import Tree
from worker.receipts.notes import BadNote, Note, origin_of
from worker.receipts.serialization import Form, header, is_trailer, newer, read
from worker.receipts.signature import Verifier
from worker.receipts.summary import Summary
from worker.receipts.trailer import checkpoint_text, statement

Lines = Callable[[], Iterable[bytes]]  # lines with their ends; called twice


class VerificationError(Exception):
    """The first error. `line` counts from 1; 0: the file as a whole."""

    def __init__(self, line: int, why: str) -> None:
        super().__init__(f"line {line:,}: {why}" if line else why)
        self.line = line


@dataclass
class Verification:
    """The result of reading a file, so far."""

    form: Form
    summary: Summary = field(default_factory=Summary)
    trailer: dict[str, Any] = field(default_factory=dict)
    last: dict[str, Any] = field(default_factory=dict)  # receipt, and in which line it is
    number: int = 0
    tree: Tree = field(default_factory=Tree)
    redacted: int = 0  # texts of who and why that were removed from receipts


def verify(
    lines: Lines,
    *,
    head: str | None = None,
    key: Verifier | None = None,
    after: str | None = None,
    summary: Summary | None = None,
) -> Verification:
    """Read a file to its end. Raises `VerificationError`.

    head: the hash that its last receipt must have; after: the one that its first receipt must continue from; summary:
    also counts what was read before a fault.
    """
    form = _form(lines())
    reading = Verification(form, summary if summary is not None else Summary())
    foretold = _foretold(lines, form)
    for number, raw in enumerate(lines(), 1):
        if number == 1 and form is Form.CSV:
            continue
        if reading.trailer:
            raise VerificationError(number, "added: it is after the trailer")
        line = _line(form, number, raw)
        if is_trailer(line):
            _check_trailer(number, line, reading)
            reading.trailer = line
        else:
            _check(number, line, reading, foretold, lines)
            reading.number, reading.last = number, line
            reading.summary.add(line)
            reading.tree.add(bytes.fromhex(line["hash"]))
            reading.redacted += len(redacted_places(line))
    if not reading.trailer:
        number = max(reading.number, int(form is Form.CSV)) + 1
        raise VerificationError(number, "the trailer is missing: the file was cut here")
    _check_outside(reading, head, key, after, lines)
    return reading


# -- line by line ------------------------------------------------------------------------------------------------------


def _form(lines: Iterable[bytes]) -> Form:
    first = next(iter(lines), b"")
    if not first:
        raise VerificationError(0, "the file is empty: not even a trailer is in it")
    if first.startswith(b"{"):
        return Form.JSONL
    if first.rstrip(b"\n").decode(errors="replace") == header(Form.CSV):
        return Form.CSV
    raise VerificationError(
        1,
        "neither a receipt nor the names of a CSV file of receipts: altered, another kind of file, or one of another "
        "version of this program",
    )


def _line(form: Form, number: int, raw: bytes) -> dict[str, Any]:
    if not raw.endswith(b"\n"):
        raise VerificationError(number, "ends in the middle: the file was cut here")
    try:
        line = read(form, raw[:-1].decode())
    except ValueError:
        if version := newer(form, raw[:-1].decode(errors="replace")):
            raise VerificationError(
                number, f"a program of schema version {version} wrote it; this one has {VERSION}: see docs/upgrading.md"
            ) from None
        raise VerificationError(number, "altered: not a line as the export writes it") from None
    if line.get("hash") != hash_of(line):
        what = "the trailer" if is_trailer(line) else _name(line)
        raise VerificationError(number, f"altered: {what} has a hash mismatch")
    if "commitments" in line and (why := why_wrong(line)):
        raise VerificationError(number, f"altered: in {_name(line)} {why}")
    return line


def _check(number: int, line: dict[str, Any], reading: Verification, foretold: dict[str, Any], lines: Lines) -> None:
    """Check that a receipt, valid by itself, follows the one before it, or begins as the trailer says."""
    last, n, name = reading.last, line["n"], _name(line)
    if line["account"] != last.get("account", foretold.get("account", line["account"])):
        raise VerificationError(number, f"added or altered: {name} is of another account, {line['account'][:40]}")
    wanted = last["n"] + 1 if last else foretold.get("first_n", n)
    prev = last["hash"] if last else foretold.get("prev", line["prev"])
    if n == wanted:
        if n == 1 and line["prev"] != genesis(line["account"]):
            raise VerificationError(
                number, f"altered: {name} is the first of its account, and does not begin its chain"
            )
        if line["prev"] != prev and not last:
            why = f"altered: {name} does not continue from where the trailer says that it begins"
            raise VerificationError(number, why)
        if line["prev"] != prev:
            why = f"altered, and its hash recomputed: line {number:,} continues from another hash"
            raise VerificationError(reading.number, why)
        return
    if last and foretold.get("selection") and n > last["n"]:
        return  # a selection has gaps; the root of the trailer says that none of its lines is missing
    if last and n <= last["n"]:
        raise VerificationError(number, f"moved or added: {name} is in place of receipt {wanted:,}")
    later = (k for k, other in _parsed(lines, reading.form) if other.get("n") == wanted and k > number)
    if (there := next(later, None)) is not None:
        why = f"moved: {name} is in place of receipt {wanted:,}, which is in line {there:,}"
        raise VerificationError(number, why)
    upto = f" to {n - 1:,}" if n - 1 > wanted else ""
    raise VerificationError(number, f"dropped: receipt {wanted:,}{upto} is missing before this line")


def _check_trailer(number: int, trailer: dict[str, Any], reading: Verification) -> None:
    last, count, total = reading.last, reading.summary.receipts, trailer["count"]
    if last and last["account"] != trailer["account"]:
        raise VerificationError(number, "altered: the trailer is of another account")
    if total > count:
        why = f"dropped: {total - count:,} of {total:,} receipts are missing before the trailer"
        raise VerificationError(number, why)
    if total < count:
        why = f"added: the trailer counts {total:,} receipts, and there is one more"
        raise VerificationError(number - count + total, why)
    if trailer["head"] != last.get("hash", trailer["prev"]) or trailer["last_n"] != last.get("n"):
        why = "altered, and its hash recomputed: the trailer's head is not that of the last line"
        raise VerificationError(reading.number or number, why)
    if "root" in trailer:
        _check_tree(number, trailer, reading)


def _check_tree(number: int, trailer: dict[str, Any], reading: Verification) -> None:
    if trailer["root"] != reading.tree.root.hex():
        raise VerificationError(
            number, "altered, and its hash recomputed: the trailer's root is not that of the receipts"
        )
    try:
        if trailer["checkpoint"] is not None and Note.read(trailer["checkpoint"]).text != checkpoint_text(trailer):
            raise BadNote("it is another day's, or of other receipts")
    except BadNote as error:
        raise VerificationError(
            number, f"altered, and its hash recomputed: the trailer's checkpoint: {error}"
        ) from None


def _check_outside(
    reading: Verification, head: str | None, key: Verifier | None, after: str | None, lines: Lines
) -> None:
    """The checks that need something kept elsewhere."""
    trailer = reading.trailer
    if after is not None and trailer["prev"] != after:
        why = "it does not continue from the previous file: a file is missing, or one was recomputed"
        raise VerificationError(0, why)
    if key is not None and (why_not := key.why_not(statement(trailer), trailer.get("signature"))):
        raise VerificationError(0, f"{why_not}; it is consistent within itself: every hash may have been recomputed")
    if key is not None and (checkpoint := trailer.get("checkpoint")):
        try:
            Note.read(checkpoint).signed_by(origin_of(trailer["account"], trailer["day"]), key)
        except BadNote as error:
            raise VerificationError(0, f"its checkpoint: {error}") from None
    if head is None or trailer["head"] == head:
        return
    there = next((k for k, line in _parsed(lines, reading.form) if line.get("hash") == head), None)
    if there is None:
        why = f"its head is {trailer['head']}, not the one given: the file was cut, or its hashes were recomputed from"
        raise VerificationError(0, f"{why} some line on")
    raise VerificationError(there + 1, f"line {there:,} has the head given: everything after it is newer, or was added")


# -- looking ahead -----------------------------------------------------------------------------------------------------


def _parsed(lines: Lines, form: Form, begins: bytes = b"") -> Iterator[tuple[int, dict[str, Any]]]:
    """Every readable line that begins so, with its number."""
    for number, raw in enumerate(lines(), 1):
        if raw.startswith(begins):
            with suppress(ValueError):
                yield number, read(form, raw.removesuffix(b"\n").decode())


def _foretold(lines: Lines, form: Form) -> dict[str, Any]:
    """The trailer, if there is a valid one: it says what the first line must be."""
    trailers = _parsed(lines, form, b'{"kind":' if form is Form.JSONL else b'"# ')
    return next((line for _, line in trailers if is_trailer(line) and line.get("hash") == hash_of(line)), {})


def _name(line: dict[str, Any]) -> str:
    return f"receipt {line.get('n')} (job {str(line.get('job_id'))[:64]})"
