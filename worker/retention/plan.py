"""What a run would request and what not, and whether a cap stops it. Pure values, filled by `planner`."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime

from worker.model.target import Target
from worker.retention.matching import Reason
from worker.retention.policy import ALWAYS, Policy


@dataclass(frozen=True, slots=True)
class Chosen:
    """One job that matches and is to be requested."""

    ref: Target
    state: str
    reference_time: datetime  # the time that the policy compares: created, or last updated by the user
    asset_id: str | None


@dataclass(slots=True)
class ProjectPlan:
    """One project's part of the plan."""

    project: str
    listed: int = 0  # jobs that were read
    total: int = 0  # the total: the jobs that were read, or MetaStudio's count without filters
    chosen: list[Chosen] = field(default_factory=list)
    skipped: Counter[Reason] = field(default_factory=Counter)
    came_back: list[Target] = field(default_factory=list)  # deleted or gone here, and listed again
    problem: str | None = None  # why the list could not be read to its end

    @property
    def percent(self) -> float:
        """The share of the project that would be deleted; 100 if the total is not known."""
        if not self.chosen:
            return 0.0
        return 100.0 * len(self.chosen) / self.total if self.total else 100.0


@dataclass(frozen=True, slots=True)
class CapOverride:
    """An operator's permission for this one run: so many jobs, of these projects."""

    most: int
    projects: frozenset[str]


@dataclass(slots=True)
class Plan:
    """A policy's plan. `over` says why a cap stops the run; empty: it may run."""

    policy: Policy
    projects: list[ProjectPlan] = field(default_factory=list)

    @property
    def chosen(self) -> int:
        return sum(len(each.chosen) for each in self.projects)

    @property
    def with_avatar(self) -> int:
        """How many of the chosen jobs name an avatar that they made. Lists name no voices."""
        return sum(chosen.asset_id is not None for each in self.projects for chosen in each.chosen)

    @property
    def listed(self) -> int:
        return sum(each.listed for each in self.projects)

    @property
    def skipped(self) -> Counter[Reason]:
        return sum((each.skipped for each in self.projects), Counter())

    @property
    def came_back(self) -> list[Target]:
        return [ref for each in self.projects for ref in each.came_back]

    @property
    def problems(self) -> list[str]:
        return [f"project {each.project}: {each.problem}" for each in self.projects if each.problem]

    def over(self, cap_override: CapOverride | None = None) -> list[str]:
        """The exceeded caps, in numbers. An operator's permission replaces both caps."""
        if cap_override is not None:
            return self._over_override(cap_override)
        policy = self.policy
        found = []
        if self.chosen > policy.max_jobs:
            found.append(f"{self.chosen:,} jobs, and max_jobs is {policy.max_jobs:,}")
        for each in self.projects:
            if len(each.chosen) > ALWAYS and each.percent > policy.max_percent:
                found.append(
                    f"{len(each.chosen):,} of the {each.total:,} jobs of project {each.project} are {each.percent:.1f} "
                    f"%, and max_percent is {policy.max_percent:g} (above {ALWAYS} jobs)"
                )
        return found

    def _over_override(self, cap_override: CapOverride) -> list[str]:
        found = []
        if self.chosen > cap_override.most:
            found.append(f"{self.chosen:,} jobs, and --max allows {cap_override.most:,}")
        unsaid = [each.project for each in self.projects if each.chosen and each.project not in cap_override.projects]
        if unsaid:
            found.append(f"jobs of project {', '.join(unsaid)}, which --confirm does not name")
        return found

    def how_to_allow(self) -> str:
        """The command, or the policy's keys, that allow all of it."""
        confirm = " ".join(f"--confirm {each.project}" for each in self.projects if each.chosen)
        share = max((each.percent for each in self.projects), default=0.0)
        return (
            f"eraser retention run {self.policy.name} --max {self.chosen} {confirm}, or in the policy: "
            f"max_jobs = {self.chosen}, max_percent = {min(100, int(share) + 1)}"
        )
