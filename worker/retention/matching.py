"""Whether a job matches a policy, and if not, why. Only this module decides; MetaStudio's own filters only narrow."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from worker.config.durations import format_duration
from worker.metastudio.targets.avatar_job import AVATAR_JOB, JobRow
from worker.model.ids import why_bad_id
from worker.retention.policy import Policy

_BEFORE_ANY_JOB = datetime(2000, 1, 1, tzinfo=UTC)  # programs write the years 1, 1900 and 1970 for "unknown"


class Reason(StrEnum):
    """Why a job is not requested."""

    STATE = "state"  # its state is not one of the policy's
    NO_TIME = "no_time"  # MetaStudio does not say how old it is
    TOO_YOUNG = "too_young"
    FILTER = "filter"  # another batch, tag, name, …
    BAD_ID = "bad_id"  # its id must not reach a URL
    HELD = "held"  # on the hold list
    ALREADY_REQUESTED = "already_requested"  # already requested: in progress, dead, discarded or done
    OVER_CAP = "over_cap"  # a cap stops the run, so none is requested
    NOT_LISTED = "not_listed"  # excluded by MetaStudio's filters (`narrow = true`)


@dataclass(frozen=True, slots=True)
class Mismatch:
    """Why a job does not match: the reason and its text."""

    reason: Reason
    text: str


def reference_time(policy: Policy, row: JobRow) -> datetime | None:
    """The time that the policy compares."""
    return row.create_time if policy.age_by == "create_time" else row.last_update_time


def mismatch(policy: Policy, row: JobRow, now: datetime) -> Mismatch | None:
    """Why the job does not match the policy; None: it does. Unknown values never match."""
    if row.state not in policy.states or not AVATAR_JOB.is_deletable(row.state):
        state = row.state if row.state.isascii() and row.state.isprintable() else "unreadable"
        return Mismatch(Reason.STATE, f"its state is {state[:40]}")
    since = reference_time(policy, row)
    if since is None or since < _BEFORE_ANY_JOB:
        return Mismatch(Reason.NO_TIME, f"its {policy.age_by} is not known")
    if now - since < timedelta(seconds=policy.older_than_s):
        return Mismatch(
            Reason.TOO_YOUNG, f"its {policy.age_by} is less than {format_duration(policy.older_than_s)} ago"
        )
    for name, differs in (
        ("batch_name", policy.batch_name is not None and row.batch_name != policy.batch_name),
        ("tag", policy.tag is not None and policy.tag not in row.tags),
        ("job_name", policy.job_name is not None and row.name != policy.job_name),
        ("resolution", policy.resolution is not None and row.model_resolution != policy.resolution),
        ("flexus", policy.flexus is not None and row.is_flexus is not policy.flexus),
        ("app_user", policy.app_user is not None and row.app_user_id != policy.app_user),
    ):
        if differs:
            return Mismatch(Reason.FILTER, f"{name} is different")
    if why := why_bad_id(row.id):
        return Mismatch(Reason.BAD_ID, why[:80])
    return None
