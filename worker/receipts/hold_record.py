"""The holds of an account, kept beside its receipts, so that a Redis that lost some gets them back.

DIR/<account>/holds.json        written anew when a hold comes or goes, within a minute; only this user can read it

It has what Redis has of them: who, why, when, until, and of an app user the hash (see `worker.ledger.pseudonyms`).
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from worker.ledger.audit_actions import AuditAction
from worker.ledger.deletions import Ledger
from worker.ledger.holds import HoldList
from worker.model.errors import EraserError
from worker.model.target import Target
from worker.receipts.dayfiles import sync

KIND: Final = "avatar-eraser holds"


class HoldRecordWrong(EraserError):
    """The record cannot be read: a person has to look at it."""


@dataclass(frozen=True, slots=True)
class HoldRecord:
    """The file of one account."""

    path: Path

    def keep(self, ledger: Ledger) -> None:
        """Write what is on hold now, if the file says anything else. Raises `OSError` and `Unreachable`."""
        jobs, users = HoldList(ledger).stored()
        if not (jobs or users or self.path.exists()):
            return
        found = {
            "kind": KIND,
            "account": ledger.account,
            "key": ledger.users.fingerprint(),
            "jobs": jobs,
            "users": users,
        }
        text = json.dumps(found, indent=1, sort_keys=True) + "\n"
        if self.path.exists() and self.path.read_text(encoding="utf-8") == text:
            return
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        with draft.open("w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self.path)
        sync(self.path.parent)

    def put_back(self, ledger: Ledger, action: AuditAction) -> int:
        """Add each hold that Redis does not have. Returns how many of app users could not be: Redis has another key for
        their hashes. Raises `HoldRecordWrong` and `Unreachable`."""
        if not self.path.exists():
            return 0
        found, now_ms, holds = self._read(), ledger.now_ms(), HoldList(ledger)
        there = holds.now()
        jobs = [(Target.parse(ref), entry) for ref, entry in found["jobs"].items() if not _is_over(entry, now_ms)]
        missing = sorted((job for job in jobs if job[0] not in there.refs), key=lambda job: _terms(job[1]))
        for (why, by, until), some in groupby(missing, key=lambda job: _terms(job[1])):
            refs = [ref for ref, _ in some]
            holds.add(refs, until_ms=until or None, why=why, by=by, action=action)
        users = {user: entry for user, entry in found["users"].items() if not _is_over(entry, now_ms)}
        if found["key"] != ledger.users.fingerprint():
            return len(users)
        holds.adopt(users)
        return 0

    def _read(self) -> dict[str, Any]:
        try:
            found = json.loads(self.path.read_text(encoding="utf-8"))
            if found["kind"] == KIND and {"key", "jobs", "users"} <= set(found):
                return dict(found)
        except (ValueError, KeyError, TypeError):
            pass
        raise HoldRecordWrong(f"{self.path} is no record of holds: restore it, or move it away and enter them again")


def _terms(entry: dict[str, Any]) -> tuple[str, str, float]:
    return str(entry.get("why") or ""), str(entry.get("by") or ""), float(entry.get("until") or 0)


def _is_over(entry: dict[str, Any], now_ms: float) -> bool:
    until = entry.get("until")
    return until is not None and float(until) <= now_ms
