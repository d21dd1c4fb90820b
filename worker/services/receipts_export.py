"""All receipts of an account as one chain, from files and Redis, and an export file that can be verified."""

from __future__ import annotations

import math
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import dropwhile
from pathlib import Path
from typing import Any

from worker.execution.app_context import AppContext
from worker.ledger.receipts import DAY_MS, Checkpoint, ReceiptProgress, place
from worker.model.errors import EraserError, UsageError
from worker.receipts import verify
from worker.receipts.dayfiles import DayFiles, raw_lines, sync, write_file
from worker.receipts.sealing import Broken, head_of, seal_all, sealed_lines
from worker.receipts.serialization import Form
from worker.receipts.signature import Signer
from worker.receipts.summary import Summary
from worker.services.times import absolute, rfc3339

ALL = -math.inf  # since then: all of them
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


def export(app: AppContext, account: str, to: Path, form: Form, *, since_ms: float = ALL) -> Exported:
    """Write every receipt since then to a file, completely or not at all.

    Raises `UsageError` if some of them are in files that cannot be read here, `Broken` if those in Redis were
    changed after they were sealed, `DayFileWrong`, and `Unreachable`.
    """
    key = signer(app)
    seal_all(app.ledger(account))
    for _ in range(TRIES):
        chain = Chain(app, account, since_ms=since_ms)
        try:
            return _write(to, form, chain, key)
        except Broken as broken:
            if chain.receipts.progress().archived == chain.progress.archived:
                why = _after(broken, account, chain.progress)
                raise EraserError(f"{broken}. Nothing was written. {why}") from None
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


def _write(to: Path, form: Form, chain: Chain, key: Signer | None) -> Exported:
    account, head = chain.receipts.account, head_of(chain.receipts.account, chain.progress.sealed)
    draft = to.with_name(f".{to.name}.{secrets.token_hex(4)}")
    try:
        trailer = write_file(draft, form, account, chain.lines(), prev=head, signer=key)
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


class Chain:
    """Every sealed receipt since then (ms since 1970), as it stands now: from files, then from Redis."""

    def __init__(self, app: AppContext, account: str, *, since_ms: float = ALL) -> None:
        self.receipts = app.receipts(account)
        self.progress = self.receipts.progress()
        self._directory, self._since_ms = app.receipts_dir, since_ms

    def lines(self) -> Iterator[dict[str, Any]]:
        """In order: from the first one since then all that follow, because a chain has no gaps. Raises what `export`
        raises."""
        since = str(rfc3339(max(0.0, self._since_ms)))
        return dropwhile(lambda line: bool(line["finished_at"] < since), self._all())

    def _all(self) -> Iterator[dict[str, Any]]:
        archived = self.progress.archived
        if archived.n and self._since_ms <= place(archived.id)[0]:
            yield from self._filed(archived)
        for line in sealed_lines(self.receipts, self._start(), self.progress.sealed):
            yield line.values

    def _start(self) -> Checkpoint:
        """The last sealed place before then: earlier receipts need not be read, nor be intact."""
        archived, sealed = self.progress.archived, self.progress.sealed
        seals = self.receipts.seals(archived, sealed) if sealed.n > archived.n else []
        before = [one for one in seals if one.n < sealed.n and place(one.id)[0] < self._since_ms]
        return before[-1] if before else archived

    def _filed(self, archived: Checkpoint) -> Iterator[dict[str, Any]]:
        directory, account, until_ms = self._directory, self.receipts.account, place(archived.id)[0]
        if directory is None:
            raise UsageError(
                f"receipts 1 to {archived.n:,} have left Redis for the files of a worker: set ERASER_RECEIPTS_DIR to "
                f"the same directory, or export what came later: --since {rfc3339(until_ms + 1)}"
            )
        last: dict[str, Any] = {}
        for line in DayFiles(directory, account).lines(max(1, int(max(0.0, self._since_ms) // DAY_MS))):
            if line["n"] > archived.n:
                break
            last = line
            yield line
        if last.get("hash") != archived.head:
            raise EraserError(
                f"receipts up to {archived.n:,} (finished until {absolute(until_ms)}) have left Redis, and the files "
                f"in {directory / account} do not end there: find the missing files, or export with --since"
            )
