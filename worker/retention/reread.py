"""Is a swept job still meant when its grace is over? The policies of now are asked about the job of now."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from worker.ledger.moves import Book
from worker.metastudio.answer import JobRow
from worker.retention.book import PolicyBook
from worker.retention.matching import mismatch


class Reread:
    """What a hand asks, as `worker.hand.StillMeant`."""

    def __init__(self, book: PolicyBook) -> None:
        self._book = book

    def book(self) -> Book | None:
        """Which text of the policies it goes by; None: no opinion."""
        return self._book.book()

    def __call__(self, policies: Sequence[str], project_id: str, row: JobRow, now: datetime) -> str | None:
        """Why none of the policies means this job any more; None: one does.

        Raises `SettingsError` while the file of the policies is wrong: nothing is sent on a guess.
        """
        why = "no policy requests it"
        known = self._book.current()
        for name in policies:
            policy = known.get(name)
            if policy is None:
                why = f"policy {name} no longer exists"
            elif project_id not in policy.projects:
                why = f"policy {name} no longer covers this project"
            elif found := mismatch(policy, row, now):
                why = f"{name}: {found.text}"
            else:
                return None
        return why
