"""What jobs leave behind, under kill -9 of workers and Redis: every verdict is what MetaStudio's own events say, nobody
else's asset is touched, and nothing stays pending that should not.
"""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.acceptance.fleet import BYSTANDER, IMPATIENT, PATIENCE_S, Fleet, seeded, tell
from tests.acceptance.test_canaries import ever_sent_to_redis
from worker.model.erasure import Related, Verdict
from worker.model.target import Target
from worker.simulator import CANARIES, DEMO_AK, DEMO_PROJECT

EACH = 13  # jobs of each kind, with verify and with delete
KILLS, REDIS_KILLS = 20, 4
SETTINGS = IMPATIENT | {
    "ERASER_RATE": "25",
    "ERASER_RELATED": "verify",
    "ERASER_RELATED_SCHEDULE": "1s,3s",
    "ERASER_RETRY_SCHEDULE": "0.2s,0.4s,0.8s,2s,4s",
}

Happened = Mapping[str, frozenset[str]]  # what, by whom
SERVICE, US = frozenset({"service"}), frozenset({DEMO_AK})
NOTHING: Happened = {}
BY_US: Happened = {"deactivated": US, "purged": US}
WHOLE, PARTIAL, PENDING, INCOMPLETE = (
    Verdict.WHOLE_BY_ACKNOWLEDGEMENT,
    Verdict.PARTIAL,
    Verdict.PENDING,
    Verdict.INCOMPLETE,
)


@dataclass(frozen=True)
class Kind:
    """Jobs that leave the same. `verified` and `deleted`: the verdicts of the two ways to ask; `always` happens to the
    model asset whatever is asked for, `wanted` to its parts if they are to be deleted."""

    name: str
    verified: Verdict
    deleted: Verdict
    avatar: Mapping[str, Any] = field(default_factory=dict)
    always: Happened = field(default_factory=dict)
    wanted: Mapping[str, Happened] = field(default_factory=dict)
    voice: bool = False


MODEL: Mapping[str, Happened] = {"asset": BY_US}
KINDS = (
    Kind("model", PARTIAL, WHOLE, wanted=MODEL),
    Kind("idle", PARTIAL, WHOLE, {"asset_state": "UNACTIVED"}, wanted={"asset": {"purged": US}}),
    Kind("voice", PARTIAL, WHOLE, wanted={**MODEL, "voice": {"deleted": US}, "voice-asset": BY_US}, voice=True),
    Kind("purged", WHOLE, WHOLE, {"cascade": "purge"}, {"purged": SERVICE}),
    Kind("late", WHOLE, WHOLE, {"cascade": "purge", "cascade_after_s": 1.0}, {"purged": SERVICE}),
    Kind("binned", PENDING, WHOLE, {"cascade": "bin"}, {"binned": SERVICE}, {"asset": {"purged": US}}),
    Kind("tombstone", WHOLE, WHOLE, {"asset_state": "DELETED"}),
    Kind("foreign", PARTIAL, PARTIAL, {"asset_project": "somebody-s"}),
    Kind("frozen", PARTIAL, INCOMPLETE, {"asset_state": "BLOCK"}),
    Kind("borrowed", PARTIAL, WHOLE, wanted=MODEL),  # its model names somebody else's voice
    Kind("unproven", PARTIAL, PARTIAL, wanted=MODEL, voice=True),  # its voice job names another training job
    Kind("nothing", WHOLE, WHOLE),
)


@dataclass(frozen=True)
class Job:
    kind: Kind
    related: Related
    job_id: str

    @property
    def verdict(self) -> Verdict:
        return self.kind.deleted if self.related is Related.DELETE else self.kind.verified

    def happens(self) -> Iterator[tuple[str, Happened]]:
        """(part, what must have happened to it)"""
        wanted = self.kind.wanted if self.related is Related.DELETE else {}
        labels = {"asset": f"asset:asset-{self.job_id}"}
        if self.kind.voice:
            labels |= {"voice": f"voice_job:voice-{self.job_id}", "voice-asset": f"asset:voice-asset-{self.job_id}"}
        for part, label in labels.items():
            always = self.kind.always if part == "asset" else {}
            yield label, {**always, **wanted.get(part, {})}


def everyone() -> list[Job]:
    return [
        Job(kind, related, f"{kind.name}-{related}-{n:02d}")
        for n in range(EACH)
        for kind in KINDS
        for related in (Related.VERIFY, Related.DELETE)
    ]


def plant(fleet: Fleet, jobs: list[Job]) -> None:
    simulator = fleet.metastudio
    simulator.add_avatars({"job_id": job.job_id, "voice": job.kind.voice, **job.kind.avatar} for job in jobs)
    for job in jobs:
        match job.kind.name:
            case "nothing":
                simulator.add_job(job.job_id)
            case "borrowed":
                simulator.add_asset(f"asset-{job.job_id}", voice_asset_id="a-voice-of-others")
            case "unproven":
                voice = {"asset_id": f"voice-asset-{job.job_id}", "dhtms_job_id": "another-job"}
                simulator.add_voice_job(f"voice-{job.job_id}", **voice)
    simulator.add_asset("a-voice-of-others", "VOICE_MODEL")
    simulator.add_avatar(BYSTANDER)
    simulator.set_library(delete_blocked=False)


def test_every_verdict_is_what_metastudio_says_whatever_is_killed() -> None:
    chance, jobs = seeded("leftovers"), everyone()
    chance.shuffle(jobs)
    with Fleet(settings=SETTINGS, simulator=["--latency", "0.02"], application="tests.acceptance.quick_looks") as fleet:
        plant(fleet, jobs)
        fleet.start_workers(3)
        for related in (Related.VERIFY, Related.DELETE):
            fleet.ask(*(job.job_id for job in jobs if job.related is related), related=related.value)
        victims = ["redis"] * REDIS_KILLS + ["worker"] * KILLS
        chance.shuffle(victims)
        for victim in victims:
            so_far = calls(fleet)
            fleet.wait(lambda so_far=so_far: calls(fleet) > so_far + 30 or finished(fleet, jobs), "more calls")
            kill_redis(fleet) if victim == "redis" else kill_a_worker(fleet, chance.randrange(3))
        fleet.wait(lambda: finished(fleet, jobs), "every erasure has its verdict")

        wrong = [*wrong_verdicts(fleet, jobs), *wrong_events(fleet, jobs)]
        assert wrong == [], "\n".join(wrong[:20])
        stats = fleet.metastudio.stats()
        assert (stats["max_overlap"], stats["most_effects_of_a_job"]) == (1, 1)
        assert early(fleet) == []
        tell(str(stats["by_operation"]))
        texts = [*fleet.everything_ever_written(), *ever_sent_to_redis(fleet), *outputs(fleet)]
        assert [(name, canary) for name, text in texts for canary in CANARIES if canary in text] == []


def outputs(fleet: Fleet) -> Iterator[tuple[str, str]]:
    """What the command line says of one job of each kind, and the receipts of all."""
    names = [f"{kind.name}-{related}-00" for kind in KINDS for related in (Related.VERIFY, Related.DELETE)]
    for words in (*(["show", name] for name in names), *(["show", name, "--json"] for name in names[:2]), ["status"],
                  ["receipts", "export"]):  # fmt: skip
        command = [Path(sys.executable).with_name("eraser"), *words]
        done = subprocess.run(command, env=fleet.env, capture_output=True, text=True, timeout=PATIENCE_S)
        assert "Traceback" not in done.stderr, done.stderr
        assert done.stdout, f"{words} says nothing"
        yield " ".join(words), done.stdout + done.stderr


def calls(fleet: Fleet) -> int:
    return int(fleet.metastudio.stats()["total"])


def kill_redis(fleet: Fleet) -> None:
    fleet.kill_redis()
    fleet.start_redis()


def kill_a_worker(fleet: Fleet, which: int) -> None:
    alive = [worker for worker in fleet.workers if worker.alive]
    alive[which % len(alive)].kill()
    fleet.start_worker()


def verdict_of(fleet: Fleet, job: Job) -> tuple[Verdict | None, bool]:
    """The verdict, and whether it is the last word; a bin has eight days."""
    found = fleet.queries.erasure(Target(DEMO_PROJECT, job.job_id))
    if found is None:
        return None, False
    waits = found.verdict is Verdict.PENDING and any(part.get("evidence") == "in_bin" for part in found.parts)
    return found.verdict, found.closed is not None or (waits and job.related is Related.VERIFY)


def finished(fleet: Fleet, jobs: list[Job]) -> bool:
    return all(verdict_of(fleet, job)[1] for job in jobs)


def wrong_verdicts(fleet: Fleet, jobs: list[Job]) -> list[str]:
    verdicts = {job.job_id: verdict_of(fleet, job)[0] for job in jobs}
    tell(str(Counter((job.kind.name, job.related.value, str(verdicts[job.job_id])) for job in jobs)))
    wrong = [job for job in jobs if verdicts[job.job_id] != job.verdict]
    erasures = [fleet.queries.erasure(Target(DEMO_PROJECT, job.job_id)) for job in wrong]
    return [f"{job.job_id}: not {job.verdict}: {found}" for job, found in zip(wrong, erasures, strict=True)]


def wrong_events(fleet: Fleet, jobs: list[Job]) -> list[str]:
    """Each part, and everything else in the library, to which something else happened."""
    really: dict[str, Happened] = {
        label: {what: frozenset(by) for what, by in events.items() if what != "added"}
        for parts in fleet.metastudio.tally().values()
        for label, events in parts.items()
    }
    expected = {label: happened for job in jobs for label, happened in job.happens() if job.kind.name != "nothing"}
    return [
        f"{label}: {happened}, not {expected.get(label, NOTHING)}"
        for label, happened in really.items()
        if happened != expected.get(label, NOTHING)
    ]


def early(fleet: Fleet) -> list[str]:
    """Parts that we changed before their job was gone."""
    gone = {call["job_id"]: call["n"] for call in fleet.metastudio.calls(kind="job") if call["effect"]}
    found = []
    for event in fleet.metastudio.events():
        if event["by"] == DEMO_AK:
            job_id = event["id"].removeprefix("voice-").removeprefix("asset-")
            if event["call"] < gone.get(job_id, float("inf")):
                found.append(event["id"])
    return found
