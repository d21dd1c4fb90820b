"""The campaign about what jobs leave behind: every kind of it that the acceptance tests know, verified and deleted.

MetaStudio answers all the time, and no NAT is on the way: of what nobody could say before a job's DELETE its kind tells
nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from benchmarks.campaign import Act, Campaign
from benchmarks.reckoning import may_end, overlapping
from tests.acceptance.fleet import Fleet
from tests.acceptance.judge import everything
from tests.acceptance.test_leftovers import KINDS, Job, Way, early, finished, plant, wrong_events, wrong_verdicts

RELATED: Final[Mapping[str, str]] = {"ERASER_RELATED": "verify", "ERASER_RELATED_SCHEDULE": "1s,3s"}
WAYS: Final = (Way.VERIFY, Way.DELETE)


def fleet_of_leftovers(*, settings: Mapping[str, str], simulator: Iterable[str]) -> Fleet:
    return Fleet(settings={**RELATED, **settings}, simulator=simulator, application="tests.acceptance.quick_looks")


class Leftovers(Campaign):
    """Nothing is cancelled, so that each job ends, and its kind says what becomes of its parts."""

    may_cancel = False

    def plan(self) -> list[str]:
        each = max(1, self.deletions // (len(KINDS) * len(WAYS)))
        every = [Job(kind, way, n) for n in range(each) for kind in KINDS for way in WAYS]
        self.chance.shuffle(every)
        self.every = {job.job_id: job for job in every}
        return list(self.every)

    def prepare(self) -> None:
        plant(self.fleet, list(self.every.values()))
        sharers = [name for name, job in self.every.items() if job.kind.name == "shared" and job.way is Way.VERIFY]
        self.ask(sharers)  # from then on it is known that each asset has more than one
        self.fleet.wait_until_settled(len(sharers))

    def ask(self, jobs: Sequence[str]) -> None:
        for way in WAYS:
            if mine := [job for job in jobs if self.every[job].way is way]:
                self.fleet.ask(*mine, related=way.related.value)

    def is_over(self) -> bool:
        return finished(self.fleet)

    def acts(self) -> list[tuple[Act, int]]:
        none = (self.outage, self.brownout, self.skew, self.silence)
        return [(act, weight) for act, weight in super().acts() if act not in none]

    def at_least_once(self) -> list[Act]:
        return [self.fail_over, self.cut_network, self.freeze_worker, self.fill_redis, *[self.kill_redis] * 4]

    def reckon(self) -> dict[str, list[str]]:
        """Verdicts and parts that are not as MetaStudio's own events say."""
        every, known, calls = list(self.every.values()), everything(self.fleet), self.fleet.metastudio.calls()
        deletes = [call for call in calls if call["operation"] == "delete" and call["id"] not in self.frozen]
        return {
            "lost": sorted(set(self.every) - set(known)),
            "ended wrongly": [job for job in self.every if job in known and not may_end(known[job], cancelled=False)],
            "another verdict than its kind": wrong_verdicts(self.fleet, every),
            "a part with another fate": wrong_events(self.fleet, every),
            "a part that was touched before its job had gone": early(self.fleet),
            "two calls at once, nobody frozen": overlapping(deletes),
        }
