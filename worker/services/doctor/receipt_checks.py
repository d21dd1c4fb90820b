"""The checks of `eraser doctor` for receipts: are they moved out of Redis, and are they sealed?"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from worker.execution.app_context import AppContext
from worker.execution.live_workers import archivists
from worker.ledger.receipts import DAY_MS
from worker.model.errors import SettingsError
from worker.receipts.dayfiles import DayFiles, DayFileWrong
from worker.services.doctor.check import Check, ok, warning, wrong
from worker.services.doctor.redis_checks import megabytes
from worker.services.labels import count, plain
from worker.services.receipts_export import signer
from worker.services.times import span

LATE_MS = 3_600_000.0  # after the end of a day
UNSEALED_MS = 60_000.0


def look(app: AppContext, not_archived: list[tuple[str, str, str]]) -> Iterator[Check]:
    """Check each account's receipts and their settings; `not_archived`: as the status has it. Raises `Unreachable`."""
    try:
        signer(app)
    except SettingsError as error:
        yield wrong("receipt key", str(error), f"correct {error.name}, or unset it")
    directory = app.settings.receipts_dir
    if directory is not None and not _can_write(directory):
        yield _read_only(directory, archivists(app.redis, app.keys))
    for account in app.settings.accounts:
        messages = [f"{worker}: {why}" for worker, name, why in not_archived if name == account]
        yield _elsewhere(app, account, messages) or _account(app, account)


def _elsewhere(app: AppContext, account: str, messages: list[str]) -> Check | None:
    """The reasons of workers that archive nothing, and the result of the same check here."""
    try:
        if directory := app.settings.receipts_dir:
            DayFiles(directory, account).check(app.receipts(account).progress())
    except (DayFileWrong, OSError) as error:
        messages = [str(error), *messages]
    if not messages:
        return None
    return wrong(f"receipts of {account}", plain(messages[0]), "one directory for all workers: see docs/proof.md")


def _account(app: AppContext, account: str) -> Check:
    name, receipts = f"receipts of {account}", app.receipts(account)
    now, progress = app.queries(account).now_ms(), receipts.progress()
    if not progress.n:
        return ok(name, "none yet")
    held = progress.n - progress.archived.n
    found = f"{count(held, 'receipt')} in Redis, {megabytes(receipts.bytes_used())}"
    found += f"; {progress.archived.n:,} in files" if progress.archived.n else ""
    if missing := receipts.missing():
        which = f"{missing:,} of them missing: they were removed from Redis"
        return wrong(name, f"{found}; {which}", f"eraser receipts export --account {account}, which says where")
    unsealed = receipts.read_page(progress.sealed.id, limit=1)
    if unsealed and now - unsealed[0].settled_ms > UNSEALED_MS:
        late = span((now - unsealed[0].settled_ms) / 1000)
        return warning(name, f"{found}; not sealed for {late}", "start a worker: celery -A worker worker")
    oldest = receipts.read_page(progress.archived.id, limit=1)
    if oldest and now > (progress.day(oldest[0].settled_ms, now) + 1) * DAY_MS + LATE_MS:
        age = span((now - oldest[0].settled_ms) / 1000)
        todo = "set ERASER_RECEIPTS_DIR for a worker; if it is set, its log says receipts.not_archived and why"
        return warning(name, f"{found}; the oldest of {age} ago: they never leave Redis", todo)
    return ok(name, found)


def _read_only(directory: Path, workers: list[str]) -> Check:
    """Whoever only looks receipts up writes none: the console's volume is mounted so."""
    if workers and directory.is_dir() and os.access(directory, os.R_OK | os.X_OK):
        who = f"{count(len(workers), 'running worker')} {'archives' if len(workers) == 1 else 'archive'}"
        return ok("receipts", f"{directory} is read-only here, enough to find what was archived; {who}")
    return wrong("receipts", f"{directory} cannot be written", "correct ERASER_RECEIPTS_DIR, or its owner")


def _can_write(directory: Path) -> bool:
    """Whether receipts can be written there; a worker creates a missing directory."""
    existing = next(path for path in (directory.absolute(), *directory.absolute().parents) if path.exists())
    return existing.is_dir() and os.access(existing, os.W_OK)
