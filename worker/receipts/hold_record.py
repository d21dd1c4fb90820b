"""The holds of an account, kept beside its receipts, so that a Redis that lost some gets them back.

DIR/<account>/holds.json        written anew when a hold comes or goes, within a minute; only this user can read it

It has what Redis has of them: who, why, when, until, and of an app user the hash (see `worker.ledger.pseudonyms`). Each
time that it is written it gets the next number from Redis: a Redis with a lower one is older than the record.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from worker.ledger.audit_actions import AuditAction
from worker.ledger.deletions import Ledger
from worker.ledger.holds import HoldList
from worker.ledger.redis_read import read_redis
from worker.ledger.schema.keys import Key
from worker.ledger.values import whole
from worker.model.errors import EraserError
from worker.model.target import Target
from worker.receipts.dayfiles import kept_file, sync

KIND: Final = "avatar-eraser holds"


class HoldRecordWrong(EraserError):
    """The record cannot be read: a person has to look at it."""


@dataclass(frozen=True, slots=True)
class HoldRecord:
    """The file of one account."""

    path: Path

    def keep(self, ledger: Ledger) -> None:
        """Write what is on hold now, if the file says anything else and Redis is not older than it.

        Raises `HoldRecordWrong`: nothing is written over what it once said; `OSError` and `Unreachable`.
        """
        there, now = self._found(), _on_hold(ledger)
        number = _number(there)
        if there == now | {"n": number} or not (there or now["jobs"] or now["users"]):
            return
        n = ledger.run_script("number_holds", {"was": number}).get("n")
        if n is None:
            return  # Redis went back at this moment: whoever comes next notices
        # read after its number was taken: whoever has a higher one knows of all that a lower one knows
        text = json.dumps(_on_hold(ledger) | {"n": n}, indent=1, sort_keys=True) + "\n"
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = self.path.with_name(f".{self.path.name}.{n}")
        with kept_file(draft, "w") as file:
            file.write(text)
        if _number(self._found()) > n:
            draft.unlink()  # another worker was faster
            return
        draft.replace(self.path)
        sync(self.path.parent)

    def is_ahead(self, ledger: Ledger) -> bool:
        """Whether Redis is older than the file: then it may have lost holds. A file that makes no sense cannot say so:
        `keep` reports it. Raises `Unreachable`."""
        known = read_redis(ledger.client.hget, ledger.prefix + Key.RECEIPTS_CHAIN, "holds")
        with suppress(HoldRecordWrong):
            return _number(self._found()) > whole(known)
        return False

    def put_back(self, ledger: Ledger, action: AuditAction) -> int:
        """Add each hold that Redis does not have. Returns how many of app users could not be: Redis has another key for
        their hashes. Raises `HoldRecordWrong` and `Unreachable`."""
        if (found := self._found()) is None:
            return 0
        now_ms, holds = ledger.now_ms(), HoldList(ledger)
        there = holds.now()
        jobs = [(Target.parse(ref), entry) for ref, entry in found["jobs"].items() if not _is_over(entry, now_ms)]
        missing = sorted((job for job in jobs if job[0] not in there.refs), key=lambda job: _terms(job[1]))
        for (why, by, until), some in groupby(missing, key=lambda job: _terms(job[1])):
            refs = [ref for ref, _ in some]
            holds.add(refs, until_ms=until or None, why=why, by=by, action=action)
        users = {user: entry for user, entry in found["users"].items() if not _is_over(entry, now_ms)}
        same_key = found["key"] == ledger.users.fingerprint()
        if same_key:
            holds.adopt(users)
        ledger.run_script("number_holds", {"was": _number(found), "restored": True})
        return 0 if same_key else len(users)

    def _found(self) -> dict[str, Any] | None:
        """What the file says; None: there is none. Raises `HoldRecordWrong` if it makes no sense."""
        try:
            found = json.loads(self.path.read_text(encoding="utf-8"))
            if found["kind"] == KIND and {"key", "jobs", "users"} <= set(found):
                return dict(found)
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError):
            pass
        raise HoldRecordWrong(f"{self.path} is no record of holds: restore it, or move it away and enter them again")


def _on_hold(ledger: Ledger) -> dict[str, Any]:
    """What a record says now, less its number."""
    jobs, users = HoldList(ledger).stored()
    key = ledger.users.fingerprint()
    return {"kind": KIND, "account": ledger.account, "key": key, "jobs": jobs, "users": users}


def _number(found: dict[str, Any] | None) -> int:
    """How often the record was written, by Redis's count; 0: it has none."""
    n = found.get("n") if found else None
    return n if isinstance(n, int) and n > 0 else 0


def _terms(entry: dict[str, Any]) -> tuple[str, str, float]:
    return str(entry.get("why") or ""), str(entry.get("by") or ""), float(entry.get("until") or 0)


def _is_over(entry: dict[str, Any], now_ms: float) -> bool:
    until = entry.get("until")
    return until is not None and float(until) <= now_ms
