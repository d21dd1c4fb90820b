"""All receipts of an account as one chain, wherever they are, and one file of them that proves itself."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from worker.errors import EraserError, UsageError
from worker.ledger.receipts import DAY_MS, Book, Mark, Receipts, place
from worker.operations.times import absolute, rfc3339
from worker.receipts import verify
from worker.receipts.dayfiles import DayFiles, raw_lines, sync, write_file
from worker.receipts.forms import Form
from worker.receipts.sealing import Broken, head_of, seal_all, sealed_lines
from worker.receipts.signature import Signer
from worker.receipts.tally import Tally
from worker.runtime import Runtime

TRIES = 5  # the archivist may take receipts to the files while they are read


@dataclass(frozen=True, slots=True)
class Exported:
    """A file of receipts. `fault`: what of it does not verify, because receipts were lost before they were sealed."""

    tally: Tally
    trailer: dict[str, Any]
    fault: str | None

    def as_json(self, account: str) -> dict[str, Any]:
        signature = self.trailer["signature"]
        return (
            {"account": account}
            | counts(self.tally)
            | {
                "first_n": self.trailer["first_n"],
                "last_n": self.trailer["last_n"],
                "head": self.trailer["head"],
                "signed_by": signature["key"] if signature else None,
                "fault": self.fault,
            }
        )


def counts(tally: Tally) -> dict[str, Any]:
    """The summary in numbers: jobs by how they ended, each by its latest receipt."""
    return {
        "receipts": tally.receipts,
        "jobs": tally.jobs,
        **tally.ends,
        "gone_by_evidence": tally.evidence,
        "superseded": tally.superseded,
        "first_finished_at": tally.first_at,
        "last_finished_at": tally.last_at,
    }


def signer(running: Runtime) -> Signer | None:
    """The key that signs, if there is one. Raises `SettingsError`."""
    path = running.settings.receipt_key
    return Signer.load(path) if path else None


def export(running: Runtime, account: str, to: Path, form: Form, *, since_ms: float | None) -> Exported:
    """Write every receipt settled since then to a file, whole or not at all.

    Raises `UsageError` where some of them are in files that cannot be read from here, `Broken` where those in Redis are
    not what was sealed, `DayFileWrong`, and `Unreachable`.
    """
    key = signer(running)
    seal_all(running.ledger(account))
    for _ in range(TRIES):
        receipts = running.receipts(account)
        book = receipts.book()
        try:
            return _write(
                to, form, account, _lines(running, receipts, book, since_ms), head_of(account, book.sealed), key
            )
        except Broken as broken:
            if receipts.book().archived == book.archived:
                raise EraserError(f"{broken}. Nothing was written. {_after(broken, account, book)}") from None
    raise EraserError("receipts are being archived all the time; try again in a minute")


def _after(broken: Broken, account: str, book: Book) -> str:
    """What can still be proved, and what to type for it."""
    until = broken.until
    if until.n == book.sealed.n:
        return "Earlier exports have its old content; what finishes from now on can be exported later, with --since"
    since = rfc3339(place(until.id)[0] + 1)
    return (
        f"Earlier exports have its old content. What came after receipt {until.n:,} continues from the head that was "
        f"sealed there, so this proves that nothing of it was changed:\n"
        f"  eraser receipts export --account {account} --since {since} --to FILE"
    )


def _write(
    to: Path, form: Form, account: str, lines: Iterator[dict[str, Any]], head: str, key: Signer | None
) -> Exported:
    draft = to.with_name(f".{to.name}.{secrets.token_hex(4)}")
    try:
        trailer = write_file(draft, form, account, lines, prev=head, signer=key)
        reading, fault = _read_back(draft)
        draft.rename(to)
        sync(to.parent)
    except OSError as error:
        raise UsageError(f"cannot write {to}: {error.strerror}") from None
    finally:
        draft.unlink(missing_ok=True)
    return Exported(reading, trailer, fault)


def _read_back(path: Path) -> tuple[Tally, str | None]:
    """Count by what the file says, and verify it on the way."""
    tally = Tally()
    try:
        return verify.verify(partial(raw_lines, path), tally=tally).tally, None
    except verify.Fault as fault:
        return tally, str(fault)


# -- one chain ---------------------------------------------------------------------------------------------------------


def chain(running: Runtime, account: str, *, since_ms: float | None) -> Iterator[dict[str, Any]]:
    """Every sealed receipt since then, in order. Raises what `export` does."""
    receipts = running.receipts(account)
    return _lines(running, receipts, receipts.book(), since_ms)


def _lines(running: Runtime, receipts: Receipts, book: Book, since_ms: float | None) -> Iterator[dict[str, Any]]:
    since = rfc3339(since_ms) or ""
    begun = False
    for line in _all(running, receipts, book, since_ms):
        begun = begun or line["finished_at"] >= since  # then all that follow: a chain has no holes
        if begun:
            yield line


def _all(running: Runtime, receipts: Receipts, book: Book, since_ms: float | None) -> Iterator[dict[str, Any]]:
    archived = book.archived
    if archived.n and (since_ms is None or since_ms <= place(archived.id)[0]):
        yield from _filed(running, receipts.account, archived, since_ms)
    for line in sealed_lines(receipts, _start(receipts, book, since_ms), book.sealed):
        yield line.values


def _start(receipts: Receipts, book: Book, since_ms: float | None) -> Mark:
    """The last place that was sealed before then: what came earlier need not be read, nor be unbroken."""
    if since_ms is None:
        return book.archived
    seals = receipts.seals(book.archived, book.sealed) if book.sealed.n > book.archived.n else []
    before = [mark for mark in seals if mark.n < book.sealed.n and place(mark.id)[0] < since_ms]
    return before[-1] if before else book.archived


def _filed(running: Runtime, account: str, archived: Mark, since_ms: float | None) -> Iterator[dict[str, Any]]:
    directory = running.receipts_dir
    if directory is None:
        raise UsageError(
            f"receipts 1 to {archived.n:,} have left Redis for the files of a worker: set ERASER_RECEIPTS_DIR to the "
            f"same directory, or export what came later: --since {rfc3339(place(archived.id)[0] + 1)}"
        )
    last: dict[str, Any] = {}
    day = max(1, int(since_ms // DAY_MS)) if since_ms is not None else 1
    for line in DayFiles(directory, account).lines(day):
        if line["n"] > archived.n:
            break
        last = line
        yield line
    if last.get("hash") != archived.head:
        raise EraserError(
            f"receipts up to {archived.n:,} (finished until {absolute(place(archived.id)[0])}) have left Redis, and "
            f"the files in {directory / account} do not end there: find the missing files, or export with --since"
        )
