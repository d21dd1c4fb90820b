"""What jobs leave behind, under kill -9 of workers and Redis: every verdict is what MetaStudio's own events say, nobody
else's asset is touched, and nothing stays pending that should not.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import pytest

from tests.acceptance.fleet import BYSTANDER, IMPATIENT, OPEN, Fleet, seeded, tell
from tests.acceptance.test_canaries import ever_sent_to_redis
from tests.support.command import Command
from worker.ledger.schema.keys import Key
from worker.model.erasure import AssetMode, Related, Verdict
from worker.model.target import Target
from worker.simulator import CANARIES, DEMO_AK, DEMO_PROJECT

EACH = 8  # jobs of each kind, in each way
KILLS, REDIS_KILLS = (12, 5), (2, 2)  # in each half; between them every worker is killed
WORKERS = 3
A_DAY_MS = 86_400_000
SETTINGS = IMPATIENT | {
    "ERASER_RATE": "40",
    "ERASER_RELATED": "verify",
    "ERASER_RELATED_SCHEDULE": "1s,3s",
    "ERASER_RETRY_SCHEDULE": "0.2s,0.4s,0.8s,2s,4s",
}


class Way(StrEnum):
    """What is asked for, and how assets are deleted."""

    VERIFY = "verify"
    DELETE = "delete"
    BIN = "bin"

    @property
    def related(self) -> Related:
        return Related.VERIFY if self is Way.VERIFY else Related.DELETE


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
    """Jobs that leave the same. `verified` and `deleted`: the verdicts of the two ways to ask, if nothing stays in the
    recycle bin; `always` happens to the model asset whatever is asked for, `wanted` to its parts if they are to be
    deleted for good."""

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
    Kind("shared", PARTIAL, PARTIAL),  # a job of each way names the same asset
)


@dataclass(frozen=True)
class Job:
    kind: Kind
    way: Way
    n: int

    @property
    def job_id(self) -> str:
        return f"{self.kind.name}-{self.way}-{self.n:02d}"

    @property
    def verdict(self) -> Verdict:
        if self.way is Way.BIN and any("binned" in happened for _, happened in self.happens()):
            return PENDING  # for eight days
        return self.kind.verified if self.way is Way.VERIFY else self.kind.deleted

    def wanted(self) -> Mapping[str, Happened]:
        match self.way:
            case Way.VERIFY:
                return {}
            case Way.DELETE:
                return self.kind.wanted
            case _ if "binned" in self.kind.always:  # it is where it has to go
                return {}
        to_bin = {"purged": "binned"}
        return {
            part: {to_bin.get(what, what): by for what, by in happened.items()}
            for part, happened in self.kind.wanted.items()
        }

    def happens(self) -> Iterator[tuple[str, Happened]]:
        """(part, what must have happened to it)"""
        wanted = self.wanted()
        labels = {"asset": f"asset:asset-{self.job_id}"}
        if self.kind.voice:
            labels |= {"voice": f"voice_job:voice-{self.job_id}", "voice-asset": f"asset:voice-asset-{self.job_id}"}
        for part, label in labels.items():
            always = self.kind.always if part == "asset" else {}
            yield label, {**always, **wanted.get(part, {})}


def everyone() -> list[Job]:
    return [Job(kind, way, n) for n in range(EACH) for kind in KINDS for way in Way]


def plant(fleet: Fleet, jobs: list[Job]) -> None:
    simulator = fleet.metastudio
    simulator.add_avatars({"job_id": job.job_id, "voice": job.kind.voice, **job.kind.avatar} for job in jobs)
    for job in jobs:
        match job.kind.name:
            case "nothing":
                simulator.add_job(job.job_id)
            case "shared":
                simulator.add_job(job.job_id, asset_id=f"asset-shared-{job.n:02d}", project_id=DEMO_PROJECT)
                simulator.add_asset(f"asset-shared-{job.n:02d}")
            case "borrowed":
                simulator.add_asset(f"asset-{job.job_id}", voice_asset_id="a-voice-of-others")
            case "unproven":
                voice = {"asset_id": f"voice-asset-{job.job_id}", "dhtms_job_id": "another-job"}
                simulator.add_voice_job(f"voice-{job.job_id}", **voice)
    simulator.add_asset("a-voice-of-others", "VOICE_MODEL")
    simulator.add_avatar(BYSTANDER)
    simulator.set_library(delete_blocked=False)


def test_every_verdict_is_what_metastudio_says_whatever_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    chance, jobs = seeded("leftovers"), everyone()
    chance.shuffle(jobs)
    with Fleet(settings=SETTINGS, simulator=["--latency", "0.02"], application="tests.acceptance.quick_looks") as fleet:
        plant(fleet, jobs)
        fleet.start_workers(WORKERS)
        sharers = [job for job in jobs if job.kind.name == "shared" and job.way is Way.VERIFY]
        ask(fleet, sharers)  # from then on it is known that each asset has more than one
        fleet.wait(lambda: fleet.settled() == len(sharers), "one job of each shared asset is deleted")
        halves = [job for job in jobs if job.way is not Way.BIN], [job for job in jobs if job.way is Way.BIN]
        for half, kills, redis_kills in zip(halves, KILLS, REDIS_KILLS, strict=True):
            if half is halves[1]:
                change_to_bin(fleet)
            ask(fleet, [job for job in half if job not in sharers])
            victims = ["redis"] * redis_kills + ["worker"] * kills
            chance.shuffle(victims)
            kill_in_mid_run(fleet, half, victims, chance)

        wrong = [*wrong_verdicts(fleet, jobs), *wrong_events(fleet, jobs)]
        assert wrong == [], "\n".join(wrong[:20])
        stats = fleet.metastudio.stats()
        assert (stats["max_overlap"], stats["most_effects_of_a_job"]) == (1, 1)
        assert early(fleet) == []
        tell(str(stats["by_operation"]))
        command = Command(fleet.redis_server.url, monkeypatch)
        texts = [*fleet.everything_ever_written(), *ever_sent_to_redis(fleet), *outputs(fleet, command)]
        assert [(name, canary) for name, text in texts for canary in CANARIES if canary in text] == []


def ask(fleet: Fleet, jobs: Sequence[Job]) -> None:
    for related in (Related.VERIFY, Related.DELETE):
        fleet.ask(*(job.job_id for job in jobs if job.way.related is related), related=related.value)


def change_to_bin(fleet: Fleet) -> None:
    """From now on assets only go into the recycle bin: other workers take over."""
    fleet.change(ERASER_RELATED_ASSETS=AssetMode.BIN.value)
    for worker in fleet.workers:
        worker.kill()
    for _ in range(WORKERS):
        fleet.start_worker()


def kill_in_mid_run(fleet: Fleet, jobs: Sequence[Job], victims: list[str], chance: random.Random) -> None:
    for victim in victims:
        so_far = calls(fleet)
        fleet.wait(lambda so_far=so_far: calls(fleet) > so_far + 30 or finished(fleet), "more calls")
        kill_redis(fleet) if victim == "redis" else kill_a_worker(fleet, chance.randrange(WORKERS))
    fleet.wait(lambda: finished(fleet), "every erasure has its verdict")


def outputs(fleet: Fleet, command: Command) -> Iterator[tuple[str, str]]:
    """What the command line says of one job of each kind, and the receipts of all."""
    names = [Job(kind, way, 0).job_id for kind in KINDS for way in Way]
    settings = {name: value for name, value in fleet.env.items() if name.startswith(("ERASER_", "HUAWEICLOUD_"))}
    for words in (*(["show", name] for name in names), *(["show", name, "--json"] for name in names), ["status"],
                  ["related", "list"], ["receipts", "export"]):  # fmt: skip
        ended = command(*words, **{"ERASER_REGION": None, **settings})
        assert ended.out, f"{words} says nothing: {ended.err}"
        yield " ".join(words), ended.all


def calls(fleet: Fleet) -> int:
    return int(fleet.metastudio.stats()["total"])


def kill_redis(fleet: Fleet) -> None:
    fleet.kill_redis()
    fleet.start_redis()


def kill_a_worker(fleet: Fleet, which: int) -> None:
    alive = [worker for worker in fleet.workers if worker.alive]
    alive[which % len(alive)].kill()
    fleet.start_worker()


def finished(fleet: Fleet) -> bool:
    """Nothing is to be deleted any more, nor looked at but for what lies in the recycle bin, which has eight days."""
    if any(fleet.states().get(state) for state in OPEN):
        return False
    now: Any = fleet.queries.now_ms()
    soon: Any = fleet.client.zcount(fleet.ledger.prefix + Key.ERASURES, "-inf", now + A_DAY_MS)
    return int(soon) == 0


def wrong_verdicts(fleet: Fleet, jobs: list[Job]) -> list[str]:
    found = [(job, fleet.queries.erasure(Target(DEMO_PROJECT, job.job_id))) for job in jobs]
    tell(str(Counter((job.kind.name, job.way.value, str(one and one.verdict)) for job, one in found)))
    return [f"{job.job_id}: not {job.verdict}: {one}" for job, one in found if not one or one.verdict != job.verdict]


def wrong_events(fleet: Fleet, jobs: list[Job]) -> list[str]:
    """Each part, and everything else in the library, to which something else happened."""
    really: dict[str, Happened] = {
        label: {what: frozenset(by) for what, by in events.items() if what != "added"}
        for parts in fleet.metastudio.tally().values()
        for label, events in parts.items()
    }
    expected = {label: happened for job in jobs for label, happened in job.happens()}
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
