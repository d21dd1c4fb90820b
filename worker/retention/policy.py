"""A policy: which jobs to delete, their minimum age, the schedule and the caps. Values; `policy_file` reads them.

[policies.failed-trainings]
projects = ["0605768a2c8026af2f8bc00f4b0d3b7c"]   # of one account
states = ["TRAIN_FAILED", "JOB_REJECT"]           # only those that MetaStudio lets delete
older_than = "90d"
age_by = "create_time"          # or last_update_time: when the *user* last touched it, not its last change of state
# all of these have to hold, each exactly:
batch_name = "spring"
tag = "trial"
job_name = "test avatar"
resolution = "1080P"
flexus = false
app_user = "u-7781"
include_finished = true         # only with JOB_SUCCESS or JOB_FINISH in states: they may be avatars in use
related = "verify"              # leave, verify or delete what the jobs leave behind; else as the account says
delete_models_in_use = true     # only with related = "delete" and JOB_SUCCESS or JOB_FINISH in states
grace = "7d"                    # between the request and the call; `eraser cancel --run R` until then
schedule = "30 3 * * 0"         # cron, UTC; without it only `eraser retention run`
max_jobs = 500                  # instead of 100
max_percent = 20                # instead of 5 % of the project's jobs (up to 10 jobs are always allowed)
narrow = true                   # let MetaStudio's filters leave out what they can; the reasons are not counted then
reason = "TICKET-4711"
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from worker.retention.cron import Cron

GRACE_S: Final = 7 * 86400.0
MAX_JOBS: Final = 100
MAX_PERCENT: Final = 5.0
ALWAYS: Final = 10  # jobs that the percentage never stops: 5 % of a small project would be none
AGE_BY: Final = ("create_time", "last_update_time")
FINISHED: Final = frozenset({"JOB_SUCCESS", "JOB_FINISH"})


@dataclass(frozen=True, slots=True)
class Policy:
    """One validated policy. Durations in seconds; None: not set."""

    name: str
    projects: tuple[str, ...]
    states: frozenset[str]
    older_than_s: float
    age_by: str = "create_time"
    batch_name: str | None = None
    tag: str | None = None
    job_name: str | None = None
    resolution: str | None = None
    flexus: bool | None = None
    app_user: str | None = None
    grace_s: float = GRACE_S
    schedule: Cron | None = None
    max_jobs: int = MAX_JOBS
    max_percent: float = MAX_PERCENT
    narrow: bool = False
    reason: str | None = None
    related: str | None = None  # what is done about what a job leaves behind; None: as is set
    hash: str = ""  # hash of the policy's whole text

    @property
    def finished(self) -> tuple[str, ...]:
        """Its states in which a job may be an avatar in use."""
        return tuple(sorted(self.states & FINISHED))
