"""Whether the policies that asked for a deletion still mean it: what an executor needs of retention."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from worker.ledger.types import PolicyText
from worker.metastudio.response import JobRow


class StillMeant(Protocol):
    """What an executor needs of `worker.retention`."""

    def policy_text(self) -> PolicyText | None:
        """Which text of the policies it goes by; None: no opinion, so nothing is taken that only policies ask for."""

    def __call__(self, policies: Sequence[str], project_id: str, row: JobRow, now: datetime) -> str | None:
        """Why none of the policies means this job any more; None: one still does."""


class NoPolicies:
    """Where there is no file of policies: no opinion."""

    def policy_text(self) -> PolicyText | None:
        return None

    def __call__(self, policies: Sequence[str], project_id: str, row: JobRow, now: datetime) -> str | None:  # noqa: ARG002
        return f"nothing is known of policy {policies[0]}"
