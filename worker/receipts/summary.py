"""A summary of results: by the latest receipt of each job; superseded receipts are counted separately. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Summary:
    """Fill it with `add`, receipt by receipt, in their order."""

    receipts: int = 0
    first_at: str | None = None  # times of the first and the last
    last_at: str | None = None
    _latest: dict[tuple[str, str, str], str] = field(default_factory=dict)

    def add(self, receipt: dict[str, Any]) -> None:
        self.receipts += 1
        self.first_at = self.first_at or receipt["finished_at"]
        self.last_at = receipt["finished_at"]
        end = receipt["state"] + (f" {receipt['evidence']}" if receipt["state"] == "gone" else "")
        self._latest[str(receipt["project_id"]), str(receipt["kind"]), str(receipt["id"])] = end

    @property
    def jobs(self) -> int:
        return len(self._latest)

    @property
    def superseded(self) -> int:
        """Receipts with a later one for the same job."""
        return self.receipts - self.jobs

    @property
    def ends(self) -> dict[str, int]:
        """The number of jobs deleted, gone, discarded, cancelled."""
        found = Counter(end.partition(" ")[0] for end in self._latest.values())
        return {state: found[state] for state in ("deleted", "gone", "discarded", "cancelled")}

    @property
    def evidence(self) -> dict[str, int]:
        """The evidence of those that are gone."""
        found = Counter(end.partition(" ")[2] for end in self._latest.values() if end.startswith("gone"))
        return dict(sorted(found.items()))
