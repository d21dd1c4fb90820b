"""All receipts of an account as one chain, from files and Redis, and an export file that can be verified."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import dropwhile, takewhile
from pathlib import Path
from typing import Any

from worker.config.files import draft_of
from worker.execution.app_context import AppContext
from worker.ledger.receipts import DAY_MS, Checkpoint, ReceiptProgress, place
from worker.model.errors import EraserError, UsageError
from worker.model.states import State
from worker.model.target import Target
from worker.receipts import verify
from worker.receipts.dayfiles import DayFiles, raw_lines, sync, write_file
from worker.receipts.receipt import target_of
from worker.receipts.sealing import Broken, head_of, seal_all, sealed_lines
from worker.receipts.serialization import Form
from worker.receipts.signature import Signer
from worker.receipts.summary import ERASED, Summary
from worker.services.times import absolute, rfc3339

ALL = -math.inf  # since then: all of them
TRIES = 5  # receipts may be moved to the files while they are read


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which receipts: of a time (ms since 1970), and perhaps only those of a run or a job."""

    since_ms: float = ALL
    until_ms: float = math.inf
    run: str | None = None
    job: Target | None = None

    @property
    def selection(self) -> str | None:
        """What a file of single receipts says of itself; None: it is a part of the chain without gaps."""
        named = [f"run {self.run}" if self.run else "", f"job {self.job}" if self.job else ""]
        return ", ".join(filter(None, named)) or None

    def has(self, line: dict[str, Any]) -> bool:
        """Whether a receipt is of the run and the job."""
        runs = (line["run"], *(claim["run"] for claim in line["claims"]))
        return (self.run is None or self.run in runs) and self.job in (None, target_of(line))


EVERY = Wanted()


@dataclass(frozen=True, slots=True)
class Exported:
    """A file of receipts. `fault`: the part that does not verify, because receipts were lost before they were sealed.

    still_open: deletions of the same account, run or job without an end, by state.
    """

    summary: Summary
    trailer: dict[str, Any]
    fault: str | None
    still_open: dict[str, int]


def file_json(summary: Summary, trailer: dict[str, Any]) -> dict[str, Any]:
    """A file in numbers: jobs by result, each by its latest receipt."""
    return {
        "account": trailer["account"],
        "selection": trailer.get("selection"),
        "receipts": summary.receipts,
        "jobs": summary.jobs,
        **summary.ends,
        "not_erased": summary.jobs - sum(summary.ends[state] for state in ERASED),
        "related_left": summary.left,
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


def export(
    app: AppContext, account: str, to: Path, form: Form, wanted: Wanted = EVERY, *, overwrite: bool = False
) -> Exported:
    """Write receipts to a file, completely or not at all. A file that exists stays, unless it is to be overwritten.

    Raises `UsageError` if some of them are in files that cannot be read here, `Broken` if those in Redis were
    changed after they were sealed, `DayFileWrong`, and `Unreachable`.
    """
    key = signer(app)
    check_new(to, overwrite=overwrite)
    seal_all(app.ledger(account))
    for _ in range(TRIES):
        chain = Chain(app, account, since_ms=wanted.since_ms, until_ms=wanted.until_ms)
        try:
            return _write(to, form, chain, key, wanted, overwrite=overwrite)
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


def check_new(to: Path, *, overwrite: bool) -> None:
    """Raise `UsageError` for a file that exists, unless it is to be overwritten."""
    if to.exists() and not overwrite:
        raise UsageError(f"{to} exists already, so nothing was written. Name another file, or add --overwrite")


def still_open(app: AppContext, account: str, wanted: Wanted) -> dict[str, int]:
    """What of the account, the run or the job has not ended by now."""
    counts: Mapping[State, int]
    if wanted.selection is None:
        counts = app.queries(account).status().states
    else:
        bulk = app.bulk_queries(account)
        refs = bulk.claimed_by(wanted.run) if wanted.run else [wanted.job] if wanted.job else []
        counts = Counter(state for ref, state in bulk.states(refs) if state and wanted.job in (None, ref))
    return {state.value: counts.get(state, 0) for state in (State.PENDING, State.RUNNING, State.HELD, State.DEAD)}


def _write(to: Path, form: Form, chain: Chain, key: Signer | None, wanted: Wanted, *, overwrite: bool) -> Exported:
    account, head = chain.receipts.account, head_of(chain.receipts.account, chain.progress.sealed)
    try:
        with draft_of(to) as draft:
            lines = filter(wanted.has, chain.lines())
            trailer = write_file(draft, form, account, lines, prev=head, signer=key, selection=wanted.selection)
            reading, fault = _read_back(draft)
            check_new(to, overwrite=overwrite)
            draft.rename(to)
            sync(to.parent)
    except OSError as error:
        raise UsageError(f"cannot write {to}: {error.strerror}") from None
    return Exported(reading, trailer, fault, still_open(chain.app, account, wanted))


def _read_back(path: Path) -> tuple[Summary, str | None]:
    """Count the receipts of the file and verify it at the same time."""
    summary = Summary()
    try:
        return verify.verify(partial(raw_lines, path), summary=summary).summary, None
    except verify.VerificationError as fault:
        return summary, str(fault)


class Chain:
    """Every sealed receipt of a time (ms since 1970), as it stands now: from files, then from Redis."""

    def __init__(self, app: AppContext, account: str, *, since_ms: float = ALL, until_ms: float = math.inf) -> None:
        self.app = app
        self.receipts = app.receipts(account)
        self.progress = self.receipts.progress()
        self._directory, self._since_ms, self._until_ms = app.receipts_dir, since_ms, until_ms

    def lines(self) -> Iterator[dict[str, Any]]:
        """In order: all from the first one of that time to the last one, because a chain has no gaps. Raises what
        `export` raises."""
        if self._until_ms == math.inf:
            return self._since()
        until = str(rfc3339(max(0.0, self._until_ms)))
        last = max((line["n"] for line in self._since() if _recorded(line) < until), default=0)
        return takewhile(lambda line: bool(line["n"] <= last), self._since())

    def _since(self) -> Iterator[dict[str, Any]]:
        since = str(rfc3339(max(0.0, self._since_ms)))
        return dropwhile(lambda line: _recorded(line) < since, self._all())

    def _all(self) -> Iterator[dict[str, Any]]:
        archived = self.progress.archived
        filed_until = max(place(archived.id)[0], self.progress.first_day * DAY_MS)
        if archived.n and self._since_ms <= filed_until:
            yield from self._filed(archived)
        yield from self.in_redis()

    def in_redis(self) -> Iterator[dict[str, Any]]:
        """Those that are still in Redis, and possibly some before then. Raises `Broken`."""
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


def _recorded(line: dict[str, Any]) -> str:
    """When a receipt was written: one of a verified erasure or a recheck later than the deletion was finished."""
    return str(line.get("recorded_at") or line["finished_at"])
