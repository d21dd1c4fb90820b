"""A summary of results: by the latest receipt of each job; superseded receipts are counted separately. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

from worker.model.erasure import Verdict

ERASED: Final = ("deleted", "gone")
_WHOLE: Final = (Verdict.WHOLE, Verdict.WHOLE_BY_ACKNOWLEDGEMENT)


@dataclass
class Summary:
    """Fill it with `add`, receipt by receipt, in their order."""

    receipts: int = 0
    first_at: str | None = None  # when the first of these deletions ended, and the last: not in the order of receipts
    last_at: str | None = None
    _latest: dict[tuple[str, str, str], tuple[str, str | None, str | None]] = field(default_factory=dict)

    def add(self, receipt: dict[str, Any]) -> None:
        self.receipts += 1
        ended = str(receipt["finished_at"])
        self.first_at, self.last_at = min(self.first_at or ended, ended), max(self.last_at or ended, ended)
        job = str(receipt["project_id"]), str(receipt["kind"]), str(receipt["id"])
        state = "came_back" if receipt.get("event") == "came_back" else receipt["state"]
        self._latest[job] = state, receipt["evidence"], _left(receipt)

    @property
    def jobs(self) -> int:
        return len(self._latest)

    @property
    def superseded(self) -> int:
        """Receipts with a later one for the same job."""
        return self.receipts - self.jobs

    @property
    def ends(self) -> dict[str, int]:
        """The number of jobs deleted, gone, discarded, cancelled; dead (restored), pending (released), came back."""
        found = Counter(state for state, _, _ in self._latest.values())
        return {end: found[end] for end in (*ERASED, "discarded", "cancelled", "dead", "pending", "came_back")}

    @property
    def evidence(self) -> dict[str, int]:
        """The evidence of those that are gone."""
        found = Counter(str(evidence) for state, evidence, _ in self._latest.values() if state == "gone")
        return dict(sorted(found.items()))

    @property
    def left(self) -> dict[str, int]:
        """Of jobs that are deleted or gone: why an avatar or a voice may be left, and of how many."""
        found = Counter(left for state, _, left in self._latest.values() if state in ERASED and left)
        return dict(sorted(found.items()))


def _left(receipt: dict[str, Any]) -> str | None:
    """The verdict of its erasure, unless that is whole; `not_checked` where there is none."""
    if verdict := receipt.get("erasure"):
        return None if verdict in _WHOLE else str(verdict)
    return "not_checked" if receipt["related"] else None
