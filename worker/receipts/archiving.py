"""Moves receipts out of Redis: each finished UTC day is written to a file, and only then removed from the stream.

A crash between any two lines leaves the entries in Redis, in the file, or in both; the next round continues from there.
The checkpoint says which of the two counts, so that the stream can be trimmed in steps.
Any worker with ERASER_RECEIPTS_DIR archives, not only the dispatching one; two at once do no harm.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import redis

from worker.config.settings import Settings
from worker.ledger.deletions import Ledger
from worker.ledger.receipts import DAY_MS, Checkpoint, Receipts, following, place
from worker.model.errors import EraserError, Unreachable
from worker.receipts.dayfiles import DayFiles, DayFileWrong
from worker.receipts.hold_record import HoldRecord
from worker.receipts.leaving import let_records_leave
from worker.receipts.periodic import Periodic
from worker.receipts.restored import behind, catch_up, hold_again
from worker.receipts.sealing import Broken, seal_all, sealed_lines
from worker.receipts.signature import Signer

log = logging.getLogger(__name__)

EVERY_S = 60.0
SOON_S = 1.0  # while Redis is away: the one that comes back may be older


def archive_day(ledger: Ledger, directory: Path, *, now_ms: float, signer: Signer | None = None) -> int | None:
    """Archive the oldest day in the stream if it is over. Returns how many receipts left Redis; None: nothing to do.

    0: another worker is doing it; check again.
    Raises `DayFileWrong`, `Broken`, `OSError` and `Unreachable`: nothing has left Redis then.
    """
    receipts = Receipts(ledger.client, ledger.account, ledger.keys)
    _trim(ledger, receipts)
    progress, files = receipts.progress(), DayFiles(directory, ledger.account)
    try:
        files.check(progress)
        return _archive(ledger, receipts, files, progress.archived, now_ms, signer)
    except (Broken, DayFileWrong):
        if receipts.progress().archived != progress.archived:
            return 0  # another worker archived them in the meantime
        raise


def _archive(
    ledger: Ledger, receipts: Receipts, files: DayFiles, archived: Checkpoint, now_ms: float, signer: Signer | None
) -> int | None:
    oldest, progress = receipts.read_page(archived.id, limit=1), receipts.progress()
    if not oldest or (day := progress.day(oldest[0].settled_ms, now_ms)) >= now_ms // DAY_MS:
        return None
    seal_all(ledger)
    progress = receipts.progress()
    next_one = receipts.read_page(progress.sealed.id, limit=1)
    if (
        progress.archived != archived
        or progress.sealed.n == archived.n
        or (next_one and progress.day(next_one[0].settled_ms, now_ms) <= day)
    ):
        return 0  # another worker is sealing or archiving right now
    last = archived

    def of_the_day() -> Iterator[dict[str, Any]]:
        nonlocal last
        for line in sealed_lines(receipts, archived, progress.sealed):
            if progress.day(line.settled_ms, now_ms) > day:
                return
            last = line.checkpoint
            yield line.values

    files.write(day, of_the_day(), progress, signer)
    fields = {"was": archived.id, "n": last.n, "id": last.id, "head": last.head, "redacted": progress.redactions}
    if not ledger.run_script("archive", fields)["archived"]:
        return 0
    _trim(ledger, receipts)
    count = last.n - archived.n
    log.info("receipts.archived", extra={"account": ledger.account, "count": count, "n": last.n, "head": last.head})
    return count


def _trim(ledger: Ledger, receipts: Receipts) -> None:
    """Remove archived receipts from the stream, also those that a crash left: by the checkpoint they are no longer
    needed.
    """
    archived = receipts.progress().archived.id
    while (oldest := receipts.read_page(limit=1)) and place(oldest[0].id) <= place(archived):
        if not ledger.run_script("trim", {"id": archived, "keep": following(archived)})["trimmed"]:
            return  # another worker archived more in the meantime, and trims


class Archivist(Periodic):
    """A thread that checks once a minute, in a worker that has the directory.

    problems: filled with the accounts whose receipts cannot be archived, and why. here: filled with the last receipt of
    each account that the directory has; the worker's heartbeat says it. everywhere: of an account, the last receipt
    that every living worker says to have. Up to there the archive is shared, and records of what ended leave, too.
    """

    def __init__(
        self,
        ledger: Callable[[str], Ledger],
        directory: Path,
        settings: Settings,
        problems: dict[str, str],
        *,
        here: dict[str, int] | None = None,
        everywhere: Callable[[str], int] = lambda _: 0,
    ) -> None:
        super().__init__("archivist")
        self._ledger = ledger
        self._problems = problems
        self._here = {} if here is None else here
        self._everywhere = everywhere
        self._accounts = list(settings.accounts)
        self._stay = bool(settings.recheck)  # a scheduled recheck goes through whole records
        self._directory = directory
        self._key = settings.receipt_key
        self._away = False
        self._unreached: set[str] = set()  # accounts of which it was told
        self._paused_for: set[str] = set()  # heads of files that have no receipt in common with Redis

    def turn(self) -> float:
        self._away = False
        for account in self._accounts:
            self.archive(account)
        return SOON_S if self._away else EVERY_S

    def look_back(self) -> None:
        """Before anything is done: pause each account whose Redis is older than its files."""
        for account in self._accounts:
            self._guarded(account, self._catch_up)

    def archive(self, account: str) -> None:
        """Archive every finished day of an account. An error is reported, and tried again a minute later."""
        self._guarded(account, self._archive)

    def _archive(self, ledger: Ledger) -> None:
        self._catch_up(ledger)
        signer = Signer.load(self._key) if self._key else None
        count: int | None = 1
        while count and not self._stop.is_set():
            now_ms = ledger.look_at_clocks()
            if not ledger.clocks_agree:
                return  # while clocks disagree it is not known whether a day is over
            count = archive_day(ledger, self._directory, now_ms=now_ms, signer=signer)
        HoldRecord(DayFiles(self._directory, ledger.account).holds).keep(ledger)
        self._let_leave(ledger)
        self._problems.pop(ledger.account, None)

    def _catch_up(self, ledger: Ledger) -> None:
        files = DayFiles(self._directory, ledger.account)
        found = behind(Receipts(ledger.client, ledger.account, ledger.keys), files)
        if found is not None and found.head not in self._paused_for:
            catch_up(ledger, files, found)
            if found.known is None:  # it may be another installation's directory: who resumes has the last word
                self._paused_for.add(found.head)
        hold_again(ledger, files)

    def _guarded(self, account: str, act: Callable[[Ledger], None]) -> None:
        """Nothing may end the thread."""
        was_away = account in self._unreached
        self._unreached.discard(account)  # also where another error ended the outage: the next one is told again
        try:
            act(self._ledger(account))
            return
        except (Unreachable, redis.RedisError) as error:
            self._away = True
            if not was_away:  # it is tried every few seconds, and `redis.away` says how long
                log.warning("receipts.not_archived", extra={"account": account, "error": str(error)})
            self._unreached.add(account)
        except (EraserError, OSError) as error:
            self._problems[account] = str(error)
            log.error("receipts.not_archived", extra={"account": account, "error": str(error)})
        except Exception as error:  # the thread must survive any internal error
            self._problems[account] = repr(error)
            log.exception("receipts.not_archived", extra={"account": account})
        self._here.pop(account, None)  # what the directory has is not known: no worker lets a record leave for it

    def _let_leave(self, ledger: Ledger) -> None:
        account = ledger.account
        self._here.pop(account, None)
        progress = Receipts(ledger.client, account, ledger.keys).progress()
        self._here[account] = DayFiles(self._directory, account).last(progress)
        if not self._stay and (until := min(self._here[account], self._everywhere(account))):
            let_records_leave(ledger, self._directory, until=until, stopping=self._stop.is_set)
