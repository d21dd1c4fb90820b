"""Retention for people and programs: plans and runs as JSON, next runs, and problems."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from worker.execution.app_context import AppContext
from worker.ledger.redis_read import read_redis
from worker.ledger.runs import Run, Runs
from worker.model.erasure import Related
from worker.model.errors import SettingsError, UsageError
from worker.model.target import target_json
from worker.retention.matching import Reason
from worker.retention.plan import CapOverride, Plan
from worker.retention.planner import JobDecision
from worker.retention.policy import Policy
from worker.retention.schedule import EVERY_S
from worker.services import json_form
from worker.services.times import rfc3339

STILL_S = 3 * EVERY_S  # without a tick for this long the schedule counts as off

REASONS = {
    Reason.STATE: "other state",
    Reason.NO_TIME: "age unknown: MetaStudio sent no time",
    Reason.TOO_YOUNG: "too young",
    Reason.FILTER: "another batch, tag, name, resolution, flexus, app user or project",
    Reason.BAD_ID: "invalid job id",
    Reason.HELD: "on hold",
    Reason.ALREADY_REQUESTED: "already requested (in progress, dead, discarded or done)",
    Reason.OVER_CAP: "over the cap: none is requested",
    Reason.NOT_LISTED: "excluded by MetaStudio's own filters (narrow = true)",
}


RELATED = {
    Related.LEAVE: "left as it is, and nobody looks",
    Related.VERIFY: "looked for afterwards, and not deleted",
    Related.DELETE: "deleted, too, where it is provably the job's own",
}


@dataclass(frozen=True, slots=True)
class Upcoming:
    """A policy's next scheduled time and its last run."""

    policy: Policy
    account: str
    next: datetime | None
    last: Run | None


@dataclass(frozen=True, slots=True)
class Alarm:
    """A retention problem that a person should see, and the command for it."""

    why: str
    command: str


def skipped(plan: Plan, over: list[str]) -> dict[Reason, int]:
    """How many are not requested, by reason; including the cap, which stops all or none."""
    found = {reason: plan.skipped[reason] for reason in Reason if plan.skipped[reason]}
    return found | ({Reason.OVER_CAP: plan.chosen} if over else {})


def job_json(policy: Policy, judged: JobDecision) -> dict[str, Any]:
    """One job of a plan."""
    row, why = judged.row, judged.why
    return {
        "policy": policy.name,
        "project_id": judged.project,
        **target_json(row.id[:128]),
        "selected": why is None,
        "skip_reason": why.reason.value if why else None,
        "detail": why.text if why else None,
        "state": row.state[:64],
        "create_time": _iso(row.create_time),
        "last_update_time": _iso(row.last_update_time),
    }


def related_of(app: AppContext, policy: Policy) -> Related:
    """What is done about what the jobs of a policy leave behind."""
    return Related(policy.related) if policy.related else app.related(app.policies.account(policy))


def plan_json(plan: Plan, related: Related) -> dict[str, Any]:
    """The plan in numbers. related: see `related_of`."""
    over = plan.over()
    return {
        "plan": plan.policy.name,
        "policy_hash": plan.policy.hash,
        "listed": plan.listed,
        "selected": plan.chosen,
        "skipped": _skipped({reason.value: number for reason, number in skipped(plan, over).items()}),
        "projects": [
            json_form.as_json(each, "listed", "total", "problem", project_id="project")
            | {"selected": len(each.chosen), "percent": round(each.percent, 2)}
            for each in plan.projects
        ],
        "related": related.value,
        "with_avatar": plan.with_avatar,
        "came_back": [ref.name for ref in plan.came_back],
        "over_cap": over,
        "complete": not plan.problems,
        "includes_finished": list(plan.policy.finished),
        "grace_s": plan.policy.grace_s,
    }


def _skipped(numbers: Mapping[str, int]) -> list[dict[str, Any]]:
    return [{"skip_reason": reason, "count": number} for reason, number in numbers.items()]


def run_json(run: Run) -> dict[str, Any]:
    return json_form.as_json(run, but=("written",), run="id", finished_at="finished") | {
        "skipped": _skipped(run.skipped)
    }


def upcoming_json(one: Upcoming) -> dict[str, Any]:
    return {
        "policy": one.policy.name,
        "policy_hash": one.policy.hash,
        "account": one.account,
        "schedule": one.policy.schedule.text if one.policy.schedule else None,
        "next": _iso(one.next),
    }


def cap_override(policy: Policy, most: int | None, confirmed: Collection[str]) -> CapOverride | None:
    """An operator's permission to exceed the caps, if there is one. Raises `UsageError`."""
    if confirmed and most is None:
        raise UsageError("--confirm belongs to --max N: it names the project to delete from")
    if most is not None and not confirmed:
        raise UsageError(f"--max needs --confirm PROJECT_ID too: --confirm {policy.projects[0]}")
    for project in confirmed:
        if project not in policy.projects:
            raise UsageError(f"--confirm: policy {policy.name} does not cover project {project[:64]}")
    return None if most is None else CapOverride(most, frozenset(confirmed))


def runs(app: AppContext, number: int) -> list[Run]:
    """The last runs of every account, newest first."""
    found = [run for account in app.settings.accounts for run in Runs(app.ledger(account)).latest(number)]
    return sorted(found, key=lambda run: run.started, reverse=True)[:number]


def upcoming(app: AppContext) -> list[Upcoming]:
    """Every policy, the next one first; those without a schedule last."""
    found = []
    for policy in app.policies.current().values():
        account = app.policies.account(policy)
        last = Runs(app.ledger(account)).last_of_each([policy.name]).get(policy.name)
        following = policy.schedule.next_after(app.now()) if policy.schedule else None
        found.append(Upcoming(policy, account, following, last))
    return sorted(found, key=lambda one: (one.next is None, one.next or app.now(), one.policy.name))


def alarms(app: AppContext) -> Iterator[Alarm]:
    """Stopped policies, deletions that wait for policies, and a schedule that is off."""
    for account in app.settings.accounts:
        for name, at in Runs(app.ledger(account)).wanted().items():
            text = f"the policies of {rfc3339(at)}" if at else "the policies"
            yield Alarm(
                f"deletions of policy {name} wait: no worker has {text} that requested them, or newer ones; give "
                "workers that ERASER_CONFIG, change an older file that you want to keep, or withdraw the run",
                "eraser retention runs",
            )
    try:
        found = upcoming(app)
    except SettingsError as error:
        yield Alarm(f"no policy can run: {error}", "eraser doctor")
        return
    for one in found:
        if one.last is not None and one.last.stopped_by:
            stopped = f"policy {one.policy.name} stopped: {one.last.stopped_by}"
            yield Alarm(stopped, f"eraser retention plan {one.policy.name}")
    if any(one.next for one in found) and (why := standstill(app)):
        yield Alarm(why, "eraser doctor")


def standstill(app: AppContext) -> str | None:
    """Why scheduled runs are off now; None: they are on. Raises `Unreachable`."""
    beat: Any = read_redis(app.redis.hgetall, app.keys.schedule)
    if not beat:
        return "there are schedules, but beat was not seen yet; it ticks once a minute"
    problem = beat.get(b"problem", b"").decode()
    if problem:
        return f"scheduled runs are off: {problem}"
    silent_s = app.now().timestamp() - float(beat[b"at"]) / 1000
    if silent_s > STILL_S:
        return f"scheduled runs are off: no beat for {silent_s / 60:.0f} min; missed runs are made up once"
    return None


def chosen_policies(app: AppContext, name: str | None) -> list[Policy]:
    """The named policy, or all. Raises `UsageError`."""
    return [app.policies.named(name)] if name else list(app.policies.current().values())


def _iso(moment: datetime | None) -> str | None:
    return rfc3339(moment.timestamp() * 1000) if moment else None
