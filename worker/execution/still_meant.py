"""Whether the policies that requested a deletion still cover it: what an executor needs of retention."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from worker.ledger.types import PolicyText
from worker.metastudio.targets.adapter import Row


class StillMeant(Protocol):
    """What an executor needs of `worker.retention`."""

    def policy_text(self) -> PolicyText | None:
        """The version of the policies in use; None: no policies are known, so deletions that only policies
        requested are not taken.
        """

    def __call__(self, policies: Sequence[str], project_id: str, row: Row, now: datetime) -> str | None:
        """Why none of the policies covers this job any more; None: one still does."""


class NoPolicies:
    """Used without a policy file: it decides nothing."""

    def policy_text(self) -> PolicyText | None:
        return None

    def __call__(self, policies: Sequence[str], project_id: str, row: Row, now: datetime) -> str | None:  # noqa: ARG002
        return f"nothing is known of policy {policies[0]}"
