"""The shape of every act: select, plan, confirm, do, and an outcome for each target.

The reason, the cap and the confirmation are checked here and nowhere else; the command line, the console and the API
only render plans and outcomes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from worker.config.personal import check_opaque, check_reason
from worker.ledger.audit_actions import ActionName, AuditAction, Who
from worker.model.errors import DryRun, RefusedBySafetyRule, UsageError
from worker.model.target import Target, target_json
from worker.services.labels import count as in_words

CAP_RULE = "max"  # the rule that asks for a confirmed number
CAP = 100  # targets that need no confirmed number
NAMED = 200  # characters that the audit keeps of what was named

Words = Mapping[str, tuple[str, bool]]  # result -> its text, and whether it is what was wanted


@dataclass(frozen=True, slots=True)
class Approval:
    """Who acts, why, and what they confirmed. Raises `UsageError` for a name or a reason that must not be stored.

    yes: the plan was confirmed. most: the confirmed number. again: the command as typed, for the hint of a refusal.
    only_plan: nothing is to be done, even where no plan is needed.
    """

    by: str | None = None
    reason: str | None = None
    yes: bool = True
    most: int | None = None
    again: str = ""
    only_plan: bool = False

    def __post_init__(self) -> None:
        check_reason(self.reason), check_opaque(self.by, "by")

    def check(self, count: int, noun: str, *, undone: str = "Nothing was done.") -> None:
        """Raise `RefusedBySafetyRule` for more than was confirmed, and `DryRun` for a plan that was not confirmed."""
        most = f" --max {count}" if count > CAP else ""
        hint = f"{self.again} --yes{most}" if self.again else None
        if count > (CAP if self.most is None else self.most):
            why = f"more than {CAP} must be confirmed" if self.most is None else f"{self.most:,} were allowed"
            raise RefusedBySafetyRule(CAP_RULE, f"{in_words(count, noun)}, and {why}. {undone}", hint=hint)
        self.confirmed(hint)

    def confirmed(self, hint: str | None = None) -> None:
        """Raise `DryRun` for a plan that was not confirmed. hint: the command that confirms it."""
        if not self.yes:
            raise DryRun(hint=hint or (f"{self.again} --yes" if self.again else ""))

    def action(self, of: str | None = None, *, count: int = 0) -> AuditAction:
        """For the audit: what was named, and the confirmed number if it lifted the cap."""
        return AuditAction(of=of[:NAMED] if of else None, cap=self.most if count > CAP else None)

    def who(self, action: AuditAction | None = None) -> Who:
        """For a move of the ledger. action: what else the audit says, of all moves of this act."""
        return {"why": self.reason, "by": self.by, "action": action}

    def entry(self, name: ActionName, of: str | None = None, *, count: int = 0) -> dict[str, Any]:
        """The audit's entry of one act."""
        return self.action(of, count=count).named(name, by=self.by, why=self.reason)


@dataclass(frozen=True, slots=True)
class Plan:
    """What an act would do: numbers with what they count, and remarks, for people; `fields` for programs."""

    title: str
    numbers: Mapping[str, int] = field(default_factory=dict)
    remarks: Sequence[str] = ()
    fields: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """One target's end: `result` for programs, `text` for people, `done` if it is what was wanted."""

    target: Target  # what was typed, even if it is no valid id
    result: str | None
    text: str
    done: bool

    def as_json(self) -> dict[str, Any]:
        return self.about() | {"result": self.result, "done": self.done, "detail": self.text}

    def about(self) -> dict[str, Any]:
        """Of what it is the outcome."""
        target = self.target
        return {"project_id": target.project_id or None} | target_json(target.id[:128], target.kind)


def select(project: str, job_ids: Iterable[str]) -> tuple[list[Target], list[Outcome]]:
    """Each valid id once, and the outcome of invalid ones, which stop no other."""
    good: dict[Target, None] = {}
    bad = []
    for job_id in job_ids:
        if why := Target.why_not_named(job_id):
            bad.append(Outcome(Target(project, job_id), "bad_id", why, done=False))
        else:
            good[Target.named(project, job_id)] = None
    return list(good), bad


def check_either(job_ids: Collection[str], other: str | None, name: str, *, jobs: str = "jobs", hint: str = "") -> None:
    """Either jobs or the other. Raises `UsageError`."""
    if bool(job_ids) == bool(other):
        both = ", not both" if job_ids else ""
        raise UsageError(f"give {jobs}, or {name}{both}{hint and ': '}{hint}")


def outcomes(results: Iterable[tuple[Target, str]], words: Words) -> list[Outcome]:
    """What a move of the ledger answered, in words."""
    found = []
    for target, result in results:
        text, done = words.get(result, (result, False))
        found.append(Outcome(target, result, text.format(job=target.name), done))
    return found
