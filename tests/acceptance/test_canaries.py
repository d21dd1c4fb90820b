"""Secrets and personal data are planted at every door and looked for in every place that keeps or shows anything."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.acceptance.fleet import ATTEMPTS, PATIENCE_S, Fleet
from tests.acceptance.judge import judge
from tests.support.console_pages import Console, walk
from worker.ledger.keys import OURS
from worker.model.states import Lane, State
from worker.services import pause
from worker.services.act import Approval
from worker.simulator import CANARIES, DEMO_PROJECT, FaultKind

AK, SK, TOKEN = "CANARYACCESSKEY00000", "canary-secret-key-0123456789abcdef", "canary-security-token-0123456789"
OTHER_SK = "another-secret-key-9876543210fedcba"
APP_USER = "app-user-canary-4711"
SECRETS = (AK, SK, TOKEN, *CANARIES)
SETTINGS = {"HUAWEICLOUD_SDK_AK": AK, "HUAWEICLOUD_SDK_SK": SK, "HUAWEICLOUD_SDK_SECURITY_TOKEN": TOKEN}
SIMULATOR = ("--ak", AK, "--sk", SK, "--security-token", TOKEN, "--lock", "0.5")
GOOD = [f"good-{n:02d}" for n in range(20)]


def in_redis(fleet: Fleet) -> Iterator[tuple[str, str]]:
    """Every key and every value, the broker's lists included."""
    for key in fleet.client.scan_iter(count=1000):
        yield "a key", key.decode()
        yield key.decode(), repr(everything_in(fleet.client, key))


def everything_in(client: Any, key: bytes) -> Any:
    match client.type(key):
        case b"hash":
            return client.hgetall(key)
        case b"list":
            return client.lrange(key, 0, -1)
        case b"zset":
            return client.zrange(key, 0, -1, withscores=True)
        case b"set":
            return client.smembers(key)
        case b"string":
            return client.get(key)
        case b"stream":
            return client.xrange(key)
        case b"none":  # it went meanwhile
            return None
        case kind:
            raise AssertionError(f"{key!r} is a {kind!r}: teach the test to read it")


def ever_sent_to_redis(fleet: Fleet) -> Iterator[tuple[str, str]]:
    """Every write that Redis ever got, messages that were fetched long ago included."""
    for file in (fleet.redis_server.directory / "appendonlydir").iterdir():
        yield file.name, file.read_text(encoding="utf-8", errors="replace")


def outputs(fleet: Fleet) -> Iterator[tuple[str, str]]:
    """What the command line and the console say, for people and for programs."""
    for words in (["show", "forbidden"], ["show", "forbidden", "--json"], ["status"], ["status", "--json"], ["doctor"],
                  ["dead", "groups"], ["dead", "list"], ["receipts", "export"], ["receipts", "export", "-o", "csv"],
                  ["receipts", "show", "good-19"], ["receipts", "show", "good-19", "-o", "html"],
                  ["request", "good-00", "--app-user", APP_USER],
                  ["hold", "add", "--app-user", APP_USER, "--reason", "T-1", "--by", "legal"],
                  ["hold", "remove", "--app-user", APP_USER, "--reason", "T-2"],
                  ["audit"], ["audit", "--json"]):  # fmt: skip
        done = fleet.command(*words)
        assert "Traceback" not in done.stderr, done.stderr
        assert done.stdout + done.stderr, f"{words} says nothing"
        yield "eraser " + " ".join(words), done.stdout + done.stderr
    console = Console(fleet.redis_server.url, environ=SETTINGS | {"HUAWEICLOUD_SDK_PROJECT_ID": DEMO_PROJECT})
    with console.client:
        jobs = (
            f"/deletions/{DEMO_PROJECT}/{job}" for job in ("forbidden", "ever-500", "training", "never-was", "good-19")
        )
        for path, text, headers in walk(console, "/", *jobs, *(f"/deletions?state={state}" for state in State)):
            yield f"the page {path}", text + headers


def leaks(places: Iterator[tuple[str, str]], canaries: tuple[str, ...]) -> list[str]:
    return [f"{canary} in {where}" for where, text in places for canary in canaries if canary in text]


def test_no_planted_secret_and_nothing_personal_is_found_anywhere() -> None:
    with Fleet(settings=SETTINGS, simulator=SIMULATOR) as fleet:
        fleet.plant(*GOOD, "forbidden", "ever-500", "training", "bystander", "echoed")
        fleet.metastudio.move_job("training", "TRAINING")
        fleet.metastudio.fault(FaultKind.FORBIDDEN, "forbidden", times=None)
        fleet.metastudio.fault(FaultKind.ERROR, "ever-500", times=None)
        fleet.metastudio.fault(FaultKind.HTML, "good-01")
        fleet.metastudio.fault(FaultKind.GARBAGE, "good-02")
        fleet.metastudio.fault(FaultKind.ERROR_IN_200, "good-03")
        fleet.metastudio.fault(FaultKind.TRUNCATED, "good-04", method="GET")
        formats = [fleet.env | {"ERASER_LOG_FORMAT": form} for form in ("text", "json")]
        workers = [fleet.start_worker("--loglevel", "DEBUG", env=env) for env in formats]
        fleet.wait(lambda: fleet.live_workers() == len(workers), "each worker takes work")
        fleet.ask(*GOOD, "forbidden", "ever-500", "training", "never-was", app_user=APP_USER, lane=Lane.BULK)
        with fleet.producer() as app:
            app.send_task(
                "eraser.delete", args=[DEMO_PROJECT, "good-19"], kwargs={"app_user": APP_USER}, queue=OURS.requests
            )
            app.send_task(
                "eraser.delete",
                args=[DEMO_PROJECT, "good-19"],
                kwargs={"app_user": APP_USER, "lane": "no"},
                queue=OURS.requests,
            )
        fleet.wait(lambda: fleet.settled() >= len(GOOD) + 3, "all but the one in training are settled")
        assert leaks(in_redis(fleet), SECRETS) == []

        # a signature that is refused: the gateway's answer repeats every header that was signed
        fleet.metastudio.set_credential(AK, OTHER_SK, security_token=TOKEN)
        fleet.ask("echoed", app_user=APP_USER)
        fleet.wait(lambda: fleet.queries.gate().gate == "credentials", "the key is refused")
        fleet.wait(lambda: fleet.metastudio.stats()["refused_by_reason"].get("signature"), "and the gateway said why")
        refused = list(outputs(fleet))
        assert leaks(iter(refused), (*SECRETS, APP_USER)) == []
        assert leaks(in_redis(fleet), SECRETS) == []
        fleet.metastudio.set_credential(AK, SK, security_token=TOKEN)
        fleet.metastudio.unlock(AK)
        list(pause.resume(fleet.app, [fleet.account], Approval(reason="T-9")))  # tries the key at once
        fleet.metastudio.move_job("training", "JOB_SUCCESS")
        fleet.wait_until_settled(len(GOOD) + 5)

        deletions = judge(fleet, [*GOOD, "forbidden", "ever-500", "training", "never-was", "echoed"])
        assert len(deletions["ever-500"].attempts) == ATTEMPTS
        assert deletions["echoed"].state is State.DELETED
        users = {call["app_user"] for call in fleet.metastudio.calls() if call["operation"] == "delete"}
        assert users == {APP_USER}, "the app user did not even reach the server"

        everywhere = (*SECRETS, APP_USER)
        for worker in workers:
            worker.ask_to_end()
            worker.popen.wait(PATIENCE_S)
        logs = [(file.name, file.read_text(errors="replace")) for file in sorted(fleet.directory.glob("worker-*.log"))]
        assert ['{"time": ' in text for _, text in logs] == [False, True], "each worker logs in its form"
        assert all("worker.ready" in text for _, text in logs)
        assert leaks(iter(logs), ("good-01",)), "the search finds nothing at all"
        assert leaks(ever_sent_to_redis(fleet), ("good-01",)), "the search finds nothing at all"
        assert leaks(iter(logs), everywhere) == []
        assert leaks(outputs(fleet), everywhere) == []
        assert leaks(ever_sent_to_redis(fleet), SECRETS) == []
        ended = {f"d:{job.ref}" for job in deletions.values() if job.state in (State.DELETED, State.GONE)}
        assert leaks(((w, t) for w, t in in_redis(fleet) if any(w.endswith(e) for e in ended)), everywhere) == []
