"""Verifies a file of receipts, offline. Names the first line that was altered, dropped, moved or added.

By itself a file shows every change, unless all hashes were recomputed. That is detected only with something kept
elsewhere: its head, or the public key of its signature.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from worker.ledger.schema.states import VERSION
from worker.receipts.chain import genesis, hash_of
from worker.receipts.serialization import Form, header, is_trailer, newer, read
from worker.receipts.signature import Verifier
from worker.receipts.summary import Summary
from worker.receipts.trailer import statement

Lines = Callable[[], Iterable[bytes]]  # lines with their ends; called twice


class VerificationError(Exception):
    """The first error. `line` counts from 1; 0: the file as a whole."""

    def __init__(self, line: int, why: str) -> None:
        super().__init__(f"line {line:,}: {why}" if line else why)
        self.line = line


@dataclass
class Verification:
    """The result of reading a file."""

    form: Form
    summary: Summary = field(default_factory=Summary)
    trailer: dict[str, Any] = field(default_factory=dict)


@dataclass
class _At:
    """The current position."""

    number: int  # of the line
    n: int | None = None  # of the last receipt
    head: str | None = None
    account: str | None = None


def verify(
    lines: Lines,
    *,
    head: str | None = None,
    key: Verifier | None = None,
    after: str | None = None,
    summary: Summary | None = None,
) -> Verification:
    """Read a file to its end. Raises `VerificationError`.

    head: the hash that its last receipt must have; after: the one that its first receipt must continue from; tally:
    also counts what was read before a fault.
    """
    form = _form(lines())
    reading, at = Verification(form, summary if summary is not None else Summary()), _At(0)
    foretold = _foretold(lines, form)
    for number, raw in enumerate(lines(), 1):
        if number == 1 and form is Form.CSV:
            continue
        if reading.trailer:
            raise VerificationError(number, "added: it is after the trailer")
        line = _line(form, number, raw)
        if is_trailer(line):
            _check_trailer(number, line, reading, at)
            reading.trailer = line
        else:
            _check(number, line, at, lambda: _parsed(lines, form), foretold)
            at.number, at.n, at.head, at.account = number, line["n"], line["hash"], line["account"]
            reading.summary.add(line)
    if not reading.trailer:
        raise VerificationError(
            max(at.number, int(form is Form.CSV)) + 1, "the trailer is missing: the file was cut here"
        )
    _check_outside(reading, head, key, after, lambda: _parsed(lines, form))
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
    return line


def _check(
    number: int,
    line: dict[str, Any],
    at: _At,
    others: Callable[[], Iterator[tuple[int, dict[str, Any]]]],
    foretold: dict[str, Any],
) -> None:
    """Check that a receipt, valid by itself, follows the one before it."""
    if line["account"] != (at.account or foretold.get("account", line["account"])):
        raise VerificationError(
            number, f"added or altered: {_name(line)} is of another account, {str(line['account'])[:40]}"
        )
    n = line["n"]
    wanted = at.n + 1 if at.n is not None else foretold.get("first_n", n)
    prev = at.head if at.head is not None else foretold.get("prev", line["prev"])
    if n == wanted:
        if n == 1 and line["prev"] != genesis(line["account"]):
            raise VerificationError(
                number, f"altered: {_name(line)} is the first of its account, and does not begin its chain"
            )
        if line["prev"] != prev and at.head is None:
            raise VerificationError(
                number, f"altered: {_name(line)} does not continue from where the trailer says that it begins"
            )
        if line["prev"] != prev:
            raise VerificationError(
                at.number, f"altered, and its hash recomputed: line {number:,} continues from another hash"
            )
        return
    if at.n is not None and n <= at.n:
        raise VerificationError(number, f"moved or added: {_name(line)} is in place of receipt {wanted:,}")
    there = next((k for k, other in others() if other.get("n") == wanted and k > number), None)
    if there is not None:
        raise VerificationError(
            number, f"moved: {_name(line)} is in place of receipt {wanted:,}, which is in line {there:,}"
        )
    upto = f" to {n - 1:,}" if n - 1 > wanted else ""
    raise VerificationError(number, f"dropped: receipt {wanted:,}{upto} is missing before this line")


def _check_trailer(number: int, trailer: dict[str, Any], reading: Verification, at: _At) -> None:
    count, head = reading.summary.receipts, at.head if at.head is not None else trailer["prev"]
    if (trailer["count"], trailer["head"], trailer["last_n"]) == (count, head, at.n) and at.account in (
        None,
        trailer["account"],
    ):
        return
    if at.account not in (None, trailer["account"]):
        raise VerificationError(number, "altered: the trailer is of another account")
    missing = trailer["count"] - count
    if missing > 0:
        raise VerificationError(
            number, f"dropped: {missing:,} of {trailer['count']:,} receipts are missing before the trailer"
        )
    if missing < 0:
        raise VerificationError(
            number + missing, f"added: the trailer counts {trailer['count']:,} receipts, and there is one more"
        )
    raise VerificationError(
        at.number or number, "altered, and its hash recomputed: the trailer's head is not that of the last line"
    )


def _check_outside(
    reading: Verification,
    head: str | None,
    key: Verifier | None,
    after: str | None,
    others: Callable[[], Iterator[tuple[int, dict[str, Any]]]],
) -> None:
    """The checks that need something kept elsewhere."""
    trailer = reading.trailer
    if after is not None and trailer["prev"] != after:
        raise VerificationError(
            0, "it does not continue from the previous file: a file is missing, or one was recomputed"
        )
    if key is not None and (why := key.why_not(statement(trailer), trailer.get("signature"))):
        raise VerificationError(0, f"{why}; it is consistent within itself: every hash may have been recomputed")
    if head is None or trailer["head"] == head:
        return
    there = next((k for k, line in others() if line.get("hash") == head), None)
    if there is None:
        raise VerificationError(
            0,
            f"its head is {trailer['head']}, not the one given: the file was cut, or "
            "its hashes were recomputed from some line on",
        )
    raise VerificationError(there + 1, f"line {there:,} has the head given: everything after it is newer, or was added")


# -- looking ahead -----------------------------------------------------------------------------------------------------


def _parsed(lines: Lines, form: Form) -> Iterator[tuple[int, dict[str, Any]]]:
    """Every readable line, with its number."""
    for number, raw in enumerate(lines(), 1):
        try:
            yield number, read(form, raw.removesuffix(b"\n").decode())
        except ValueError:
            continue


def _foretold(lines: Lines, form: Form) -> dict[str, Any]:
    """The trailer, if there is a valid one: it says what the first line must be."""
    checkpoint = b'{"kind":' if form is Form.JSONL else b'"# '
    for raw in lines():
        if raw.startswith(checkpoint):
            try:
                line = read(form, raw.removesuffix(b"\n").decode())
            except ValueError:
                continue
            if is_trailer(line) and line.get("hash") == hash_of(line):
                return line
    return {}


def _name(line: dict[str, Any]) -> str:
    return f"receipt {line.get('n')} ({str(line.get('kind'))[:64]} {str(line.get('id'))[:64]})"
