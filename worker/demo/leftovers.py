"""What jobs leave behind: a model that stays, one that MetaStudio puts into its bin, one that it purges, and a voice.

All of it is found and deleted, nobody else's is touched, and the simulator's events say by whom.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from worker.demo.stage import Stage
from worker.demo.verdict import Fact
from worker.model.erasure import Verdict
from worker.model.target import Target
from worker.services.request import deletion_request, record
from worker.simulator import DEMO_AK, DEMO_PROJECT

Happened = Mapping[str, Mapping[str, int]]  # what, by whom, how often

OTHERS: Final = "job-0001-not-requested"
BY_US, BY_SERVICE = {DEMO_AK: 1}, {"service": 1}
PURGED_BY_US: Final = {"deactivated": BY_US, "purged": BY_US}
LEFT_NOTHING: Final = {"purged": BY_SERVICE}


@dataclass(frozen=True, slots=True)
class Leaver:
    """One job, what MetaStudio's DELETE of it takes along, and what must have happened to each part at the end."""

    job_id: str
    cascade: str
    voice: bool
    parts: Mapping[str, Happened]


def _leaver(job_id: str, model: Happened, *, cascade: str = "none", voice: bool = False) -> Leaver:
    parts: dict[str, Happened] = {f"asset:asset-{job_id}": model}
    if voice:
        parts |= {f"voice_job:voice-{job_id}": {"deleted": BY_US}, f"asset:voice-asset-{job_id}": PURGED_BY_US}
    return Leaver(job_id, cascade, voice, parts)


LEAVERS: Final = (
    _leaver("left-as-it-is", PURGED_BY_US),
    _leaver("left-in-the-bin", {"binned": BY_SERVICE, "purged": BY_US}, cascade="bin"),
    _leaver("left-nothing", LEFT_NOTHING, cascade="purge"),
    _leaver("left-with-a-voice", PURGED_BY_US, voice=True),
)


def prepare(stage: Stage) -> None:
    """Add the jobs with all that they leave, and parts of a job that nobody requests."""
    rows: list[dict[str, Any]] = [
        {"job_id": each.job_id, "cascade": each.cascade, "voice": each.voice} for each in LEAVERS
    ]
    stage.simulator.add_avatars([*rows, {"job_id": OTHERS}])


def request(stage: Stage) -> None:
    """Ask for the jobs, and for what they leave."""
    wanted = deletion_request(stage.app, lane="user", by="demo", related="delete")
    list(record(stage.app, [_target(each) for each in LEAVERS], wanted))


def closed(stage: Stage) -> bool:
    """Whether every erasure has ended."""
    found = [stage.queries.erasure(_target(each)) for each in LEAVERS]
    return all(each is not None and each.closed is not None for each in found)


def summary(stage: Stage) -> str:
    """The ledger's verdicts."""
    counts = Counter(_verdicts(stage))
    return (
        f"what they left was looked for until the end: {', '.join(f'{n} {verdict}' for verdict, n in counts.items())}"
    )


def judge(stage: Stage) -> list[Fact]:
    """The ledger's verdicts, and what the simulator says of each part."""
    happened = stage.simulator.tally()[DEMO_PROJECT]
    parts = [what for each in LEAVERS for what in each.parts.values()]
    by_service = sum(what == LEFT_NOTHING for what in parts)
    whole = _verdicts(stage) == [Verdict.WHOLE_BY_ACKNOWLEDGEMENT] * len(LEAVERS)
    return [
        Fact(
            f"these {len(LEAVERS)} jobs left {len(parts)} parts: MetaStudio purged {by_service} itself, we deleted "
            f"{len(parts) - by_service}, each once; none is left",
            whole and not wrong(happened),
        ),
        Fact("the model and the voice of a job that was not requested are untouched", not touched(happened)),
    ]


def _verdicts(stage: Stage) -> list[Verdict | None]:
    found = [stage.queries.erasure(_target(each)) for each in LEAVERS]
    return [None if each is None else each.verdict for each in found]


def wrong(happened: Mapping[str, Happened]) -> list[str]:
    """Of the simulator's tally, each part that something else happened to."""
    found = []
    for each in LEAVERS:
        for part, expected in each.parts.items():
            really = {what: by for what, by in happened.get(part, {}).items() if what != "added"}
            if really != expected:
                found.append(f"{part}: {really or 'nothing happened'}, expected {expected}")
    return found


def touched(happened: Mapping[str, Happened]) -> list[str]:
    """Parts that are none of these jobs', and that something happened to."""
    known = {part for each in LEAVERS for part in each.parts}
    return [part for part, what in happened.items() if part not in known and set(what) != {"added"}]


def _target(leaver: Leaver) -> Target:
    return Target(DEMO_PROJECT, leaver.job_id)
