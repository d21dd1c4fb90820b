"""Re-validation after the grace: does the job, as it is now, match the current policies?"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from worker.ledger.types import PolicyText
from worker.metastudio.targets.adapter import Row
from worker.metastudio.targets.avatar_job import JobRow
from worker.retention.matching import mismatch
from worker.retention.policy_file import PolicyFile


class Revalidation:
    """The policy check of executors."""

    def __init__(self, policy_file: PolicyFile) -> None:
        self._file = policy_file

    def policy_text(self) -> PolicyText | None:
        """The version of the policies in use; None: no policies are known."""
        return self._file.policy_text()

    def __call__(self, policies: Sequence[str], project_id: str, row: Row, now: datetime) -> str | None:
        """Why none of the policies means this job any more; None: one does.

        Raises `SettingsError` while the policy file is invalid: nothing is sent on a guess.
        """
        why = "no policy requests it"
        if not isinstance(row, JobRow):
            return why
        known = self._file.current()
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
