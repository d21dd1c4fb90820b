"""All receipts of an account as one chain, from files and Redis, and an export file that can be verified."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from worker.execution.app_context import AppContext
from worker.ledger.receipts import DAY_MS, Checkpoint, ReceiptProgress, Receipts, place
from worker.model.errors import EraserError, UsageError
from worker.receipts import verify
from worker.receipts.dayfiles import DayFiles, raw_lines, sync, write_file
from worker.receipts.sealing import Broken, head_of, seal_all, sealed_lines
from worker.receipts.serialization import Form
from worker.receipts.signature import Signer
from worker.receipts.summary import Summary
from worker.services.times import absolute, rfc3339

TRIES = 5  # receipts may be moved to the files while they are read


@dataclass(frozen=True, slots=True)
class Exported:
    """A file of receipts. `fault`: the part that does not verify, because receipts were lost before they were
    sealed.
    """

    summary: Summary
    trailer: dict[str, Any]
    fault: str | None


def file_json(summary: Summary, trailer: dict[str, Any]) -> dict[str, Any]:
    """A file in numbers: jobs by result, each by its latest receipt."""
    return {
        "account": trailer["account"],
        "receipts": summary.receipts,
        "jobs": summary.jobs,
        **summary.ends,
        "gone_by_evidence": summary.evidence,
        "superseded": summary.superseded,
        "first_finished_at": summary.first_at,
        "last_finished_at": summary.last_at,
        **{name: trailer[name] for name in ("first_n", "last_n", "head")},
        "signed_by": trailer["signature"]["key"] if trailer["signature"] else None,
    }


def signer(app: AppContext) -> Signer | None:
    """The signing key, if there is one. Raises `SettingsError`."""
    path = app.settings.receipt_key
    return Signer.load(path) if path else None


def export(app: AppContext, account: str, to: Path, form: Form, *, since_ms: float | None) -> Exported:
    """Write every receipt since then to a file, completely or not at all.

    Raises `UsageError` if some of them are in files that cannot be read here, `Broken` if those in Redis were
    changed after they were sealed, `DayFileWrong`, and `Unreachable`.
    """
    key = signer(app)
    seal_all(app.ledger(account))
    for _ in range(TRIES):
        receipts = app.receipts(account)
        progress = receipts.progress()
        try:
            return _write(
                to, form, account, _lines(app, receipts, progress, since_ms), head_of(account, progress.sealed), key
            )
        except Broken as broken:
            if receipts.progress().archived == progress.archived:
                raise EraserError(f"{broken}. Nothing was written. {_after(broken, account, progress)}") from None
    raise EraserError("receipts are being archived all the time; try again in a minute")


def _after(broken: Broken, account: str, progress: ReceiptProgress) -> str:
    """What can still be proven, and the command for it."""
    until = broken.until
    if until.n == progress.sealed.n:
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


def _read_back(path: Path) -> tuple[Summary, str | None]:
    """Count the receipts of the file and verify it at the same time."""
    summary = Summary()
    try:
        return verify.verify(partial(raw_lines, path), summary=summary).summary, None
    except verify.VerificationError as fault:
        return summary, str(fault)


# -- one chain ---------------------------------------------------------------------------------------------------------


def chain(app: AppContext, account: str, *, since_ms: float | None) -> Iterator[dict[str, Any]]:
    """Every sealed receipt since then, in order. Raises what `export` raises."""
    receipts = app.receipts(account)
    return _lines(app, receipts, receipts.progress(), since_ms)


def _lines(
    app: AppContext, receipts: Receipts, progress: ReceiptProgress, since_ms: float | None
) -> Iterator[dict[str, Any]]:
    since = rfc3339(since_ms) or ""
    begun = False
    for line in _all(app, receipts, progress, since_ms):
        begun = begun or line["finished_at"] >= since  # then all that follow: a chain has no gaps
        if begun:
            yield line


def _all(
    app: AppContext, receipts: Receipts, progress: ReceiptProgress, since_ms: float | None
) -> Iterator[dict[str, Any]]:
    archived = progress.archived
    if archived.n and (since_ms is None or since_ms <= place(archived.id)[0]):
        yield from _filed(app, receipts.account, archived, since_ms)
    for line in sealed_lines(receipts, _start(receipts, progress, since_ms), progress.sealed):
        yield line.values


def _start(receipts: Receipts, progress: ReceiptProgress, since_ms: float | None) -> Checkpoint:
    """The last sealed place before then: earlier receipts need not be read, nor be intact."""
    if since_ms is None:
        return progress.archived
    seals = receipts.seals(progress.archived, progress.sealed) if progress.sealed.n > progress.archived.n else []
    before = [
        checkpoint for checkpoint in seals if checkpoint.n < progress.sealed.n and place(checkpoint.id)[0] < since_ms
    ]
    return before[-1] if before else progress.archived


def _filed(app: AppContext, account: str, archived: Checkpoint, since_ms: float | None) -> Iterator[dict[str, Any]]:
    directory = app.receipts_dir
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
