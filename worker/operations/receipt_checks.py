"""Do receipts leave Redis, and are they sealed? What `eraser doctor` says of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from worker.errors import SettingsError
from worker.ledger.receipts import DAY_MS
from worker.operations import status
from worker.operations.receipts_export import signer
from worker.operations.redis_checks import Row, megabytes
from worker.operations.times import span
from worker.operations.words import count, plain
from worker.receipts.dayfiles import DayFiles, DayFileWrong
from worker.runtime import Runtime

LATE_MS = 3_600_000.0  # after the end of a day
UNSEALED_MS = 60_000.0


def look(running: Runtime) -> Iterator[Row]:
    """Each account's receipts, and what is set for them. Raises `Unreachable`."""
    try:
        signer(running)
    except SettingsError as error:
        yield "receipt key", "wrong", str(error), f"correct {error.name}, or unset it"
    directory = running.settings.receipts_dir
    if directory is not None and not _can_write(directory):
        yield "receipts", "wrong", f"{directory} cannot be written", "correct ERASER_RECEIPTS_DIR, or its owner"
    _, workers = status.workers(running)
    for account in running.settings.accounts:
        told = [f"{one.worker}: {why}" for one in workers if (why := one.not_archived.get(account)) and not one.silent]
        yield _elsewhere(running, account, told) or _account(running, account)


def _elsewhere(running: Runtime, account: str, told: list[str]) -> Row | None:
    """What workers say that archive nothing, and what they would say here."""
    try:
        if directory := running.settings.receipts_dir:
            DayFiles(directory, account).check(running.receipts(account).book())
    except (DayFileWrong, OSError) as error:
        told = [str(error), *told]
    if not told:
        return None
    return f"receipts of {account}", "wrong", plain(told[0]), "one directory for all workers: see docs/proof.md"


def _account(running: Runtime, account: str) -> Row:
    name, receipts = f"receipts of {account}", running.receipts(account)
    now, book = running.reads(account).now_ms(), receipts.book()
    if not book.n:
        return name, "ok", "none yet", ""
    held = book.n - book.archived.n
    found = f"{count(held, 'receipt')} in Redis, {megabytes(receipts.bytes_used())}"
    found += f"; {book.archived.n:,} in files" if book.archived.n else ""
    if missing := receipts.missing():
        which = f"{missing:,} of them missing: they were removed from Redis"
        return name, "wrong", f"{found}; {which}", f"eraser receipts export --account {account}, which says where"
    unsealed = receipts.page(book.sealed.id, limit=1)
    if unsealed and now - unsealed[0].settled_ms > UNSEALED_MS:
        late = span((now - unsealed[0].settled_ms) / 1000)
        return name, "warning", f"{found}; not sealed for {late}", "start a worker: celery -A worker worker"
    oldest = receipts.page(book.archived.id, limit=1)
    if oldest and now > (book.day(oldest[0].settled_ms, now) + 1) * DAY_MS + LATE_MS:
        age = span((now - oldest[0].settled_ms) / 1000)
        todo = "set ERASER_RECEIPTS_DIR for a worker; if it is set, its log says receipts.not_archived and why"
        return name, "warning", f"{found}; the oldest of {age} ago: they never leave Redis", todo
    return name, "ok", found, ""


def _can_write(directory: Path) -> bool:
    """Whether receipts may be written there; a worker makes what is not there yet."""
    existing = next(path for path in (directory.absolute(), *directory.absolute().parents) if path.exists())
    return existing.is_dir() and os.access(existing, os.W_OK)
