"""`eraser status`: the whole in one look, the promised JSON, and what to type next."""

from __future__ import annotations

import json
import re
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.interfaces.cli.test_replay import drive
from tests.support.command import Command
from tests.support.dead_letters import Undertaker
from tests.support.erasures import erased
from worker.execution.app_context import AppContext
from worker.interfaces.cli.printing import console
from worker.interfaces.cli.status import follow, page
from worker.ledger.keys import OURS
from worker.ledger.records import Closure
from worker.ledger.types import DeletionRequest, GateSignal, Settlement
from worker.model.erasure import Verdict
from worker.model.errors import Unreachable
from worker.model.states import Lane, State
from worker.model.target import Target
from worker.replay.job import step
from worker.services import replay as replay_service
from worker.services import status as whole
from worker.services.status import Overview, advice, all_well

STATES = ["pending", "running", "held", "deleted", "gone", "dead", "cancelled", "discarded"]


@pytest.fixture
def overview(redis_url: str, undertaker: Undertaker) -> Overview:
    """An empty ledger without workers."""
    return whole.look(AppContext.load({"ERASER_REDIS_URL": redis_url}))


def beat(undertaker: Undertaker, name: str, seconds_ago: float) -> None:
    undertaker.redis.zadd(OURS.workers, {name: (time.time() - seconds_ago) * 1000})
    undertaker.redis.hset(OURS.worker_info, name, json.dumps({"host": "box", "pid": 7, "threads": 16}))


def test_json_has_exactly_the_promised_fields(command: Command, undertaker: Undertaker) -> None:
    undertaker.end("dead-1")
    undertaker.request("job-1")
    beat(undertaker, "box:7:abc", 1)
    (found,) = command("status", "--json").json
    fields_of_status = {
        "states",
        "parts",
        "erasures",
        "oldest_due_s",
        "workers",
        "accounts",
        "damaged",
        "parked",
        "webhooks",
        "retention",
        "replays",
    }
    assert set(found) == fields_of_status | {"projects_elsewhere", "accounts_gone", "came_back"}
    assert list(found["states"]) == STATES
    assert (found["states"]["dead"], found["states"]["pending"]) == (1, 1)
    assert found["oldest_due_s"] >= 0
    fields = {"account", "gate", "since", "until", "rate", "reason", "quotas", "closures", "endpoint", "elsewhere"}
    assert [set(account) for account in found["accounts"]] == [fields]
    assert found["accounts"][0]["closures"] == []
    fields = {"worker", "host", "pid", "threads", "heartbeat_age_s", "silent", "clock_s", "not_archived"}
    assert set(found["workers"][0]) == fields


def refuse_project(undertaker: Undertaker) -> None:
    """MetaStudio refused a project that a person's deletion named."""
    undertaker.ledger.request([Target("not-ours", "job-7")], DeletionRequest(by="ticket-7"))
    lease = undertaker.ledger.take(worker="w1", key="k1").lease
    assert lease is not None
    signal = GateSignal("misconfigured", key="k1", why="403 APIGW.0302 not authorized")
    undertaker.ledger.take(
        worker="w1", key="k1", settlement=Settlement(lease.ref, lease.token, "pending", signal=signal), want=False
    )


def test_what_is_closed_is_told_with_whoever_closed_it(command: Command, undertaker: Undertaker) -> None:
    refuse_project(undertaker)
    (found,) = command("status", "--json").json
    (account,) = found["accounts"]
    assert account["gate"] == "ok", "the others go on"
    (closure,) = account["closures"]
    assert closure.pop("since") < closure.pop("until")
    assert closure == {
        "scope": "project",
        "name": "not-ours",
        "cause": "misconfigured",
        "target": "job-7",
        "project_id": "not-ours",
        "requested_by": "ticket-7",
    }
    beat(undertaker, "box:7:abc", 1)
    shown = " ".join(command("status").out.split())
    assert "project not-ours of default is closed: misconfigured since" in shown
    assert "(403 APIGW.0302 not authorized) by job job-7, which ticket-7 requested; next try in 1 min" in shown
    assert "Next: eraser doctor (MetaStudio refuses 1 project of default)" in shown
    shown = command("show", "job-7", "--project", "not-ours", "--json").json[0]
    assert shown["waiting_for"] == "misconfigured"


def test_an_empty_ledger_says_how_to_begin(command: Command) -> None:
    ended = command("status")
    assert ended.code == 0
    assert "nothing is due" in ended.out
    assert "no worker" in ended.out
    assert "eraser request JOB_ID" in ended.out


def test_due_work_is_told_by_lane(command: Command, undertaker: Undertaker) -> None:
    undertaker.request("job-1", lane=Lane.USER)
    undertaker.request("job-2", "job-3", delay_s=3600)
    out = command("status").out
    assert "1 due in the user lane, the oldest for" in out
    assert "due in the bulk lane" not in out


def test_what_is_due_later_is_told_with_its_time(command: Command, undertaker: Undertaker) -> None:
    undertaker.request("job-1", delay_s=7200)
    beat(undertaker, "box:7:abc", 1)
    out = command("status").out
    assert "nothing is due; the next in 2 h" in out or "nothing is due; the next in 1 h 59 min" in out
    assert "the next deletion is due in" in out
    assert "(eraser list --state pending)." in out


def test_a_worker_unheard_for_30_s_is_silent(command: Command, undertaker: Undertaker) -> None:
    beat(undertaker, "box:7:abc", 2)
    beat(undertaker, "box:8:def", 90)
    workers = {worker["worker"]: worker for worker in command("status", "--json").json[0]["workers"]}
    assert not workers["box:7:abc"]["silent"]
    assert workers["box:8:def"]["silent"]
    assert re.search(r"silent for [1-9] min [0-9]+ s", command("status").out)


def test_workers_that_hang_are_named_where_none_works(command: Command, undertaker: Undertaker) -> None:
    undertaker.request("job-1")
    beat(undertaker, "box:8:def", 100)
    hangs = "silent: box:8:def (host:process:…): if such a process still runs, it hangs: kill -9 it"
    assert f"no worker is running; {hangs}" in " ".join(command("status").out.split())
    assert hangs in " ".join(command("doctor").out.split())
    beat(undertaker, "box:9:abc", 1)
    assert "hangs" not in command("status").out


def test_it_ends_with_what_is_worth_typing(command: Command, undertaker: Undertaker) -> None:
    undertaker.end("dead-1")
    undertaker.request("job-1")
    undertaker.ledger.pause(why="TICKET-1", by="ops-7")
    lines = [line for line in command("status").out.splitlines() if line.startswith("Next: ")]
    assert [line.removeprefix("Next: ").split("   ")[0] for line in lines] == [
        "celery -A worker worker",
        "eraser resume --reason R",
        "eraser dead groups",
    ]
    assert "TICKET-1 (by ops-7)" in command("status").out


@pytest.mark.parametrize("gate", ["credentials", "misconfigured", "clock"])
def test_a_gate_that_a_person_must_open_leads_to_the_doctor(overview: Overview, gate: str) -> None:
    account = replace(overview.accounts[0], gate=replace(overview.accounts[0].gate, gate=gate))
    assert [one.command for one in advice(replace(overview, accounts=(account,)))] == ["eraser doctor"]


def test_a_full_redis_is_told_before_dead_letters(command: Command, undertaker: Undertaker) -> None:
    undertaker.end("job-1")
    undertaker.redis.config_set("maxmemory", 1_000_000)
    try:
        lines = [line for line in command("status").out.splitlines() if line.startswith("Next: ")]
    finally:
        undertaker.redis.config_set("maxmemory", 0)
    assert [line.split("   ")[0] for line in lines] == ["Next: eraser doctor", "Next: eraser dead groups"]
    assert "of its maxmemory: nothing new is accepted above 85%" in lines[0]
    assert "maxmemory" not in command("status").out


def test_what_stops_calls_comes_before_dead_letters_with_its_job_and_the_next_try(overview: Overview) -> None:
    account, now = overview.accounts[0], overview.now
    states = {**account.states, State.DEAD: 3, State.DELETED: 5}
    shut = Closure("account", "default", "outage", now - 300_000, now + 12_000, "job-7", "ticket-7", "503", "p-7")
    gate = replace(account.gate, gate="outage", closures=(shut,))
    view = replace(overview, accounts=(replace(account, gate=gate, states=states, came_back=1, damaged=1),))
    first, *others = advice(view)
    assert first.why == (
        "default is closed: MetaStudio outage since 5 min (503) by job job-7 of project p-7, which ticket-7 requested; "
        "next try in 12 s; it opens by itself"
    )
    assert [one.about for one in (first, *others)] == ["gate", "damage", "back", "dead"]
    shut = replace(shut, scope="key", cause="credentials", reason="401")
    gate = replace(account.gate, gate="credentials", closures=(shut,))
    first, *_ = advice(replace(view, accounts=(replace(account, gate=gate, states=states),)))
    assert first.command == "eraser doctor"
    assert "since 5 min (401) by job job-7 of project p-7, which ticket-7 requested; next try in 12 s" in first.why


def test_what_stops_calls_is_told_once(overview: Overview) -> None:
    account, now = overview.accounts[0], overview.now
    key = Closure("key", "c05dd669", "credentials", now, now + 12_000, "job-7", "ticket-7", "401", "p-7")
    project = Closure("project", "p-8", "misconfigured", now, now + 12_000, "job-8", "ticket-8", "403", "p-8")
    gate = replace(account.gate, gate="credentials", closures=(key, project))
    with (screen := console()).capture() as printed:
        screen.print(page(replace(overview, accounts=(replace(account, gate=gate),))))
    shown = " ".join(printed.get().split())
    assert shown.count("by job job-7 of project p-7") == 1
    assert shown.count("project p-8 of default is closed: misconfigured") == shown.count("by job job-8, which") == 1


def test_an_outage_needs_nobody(overview: Overview) -> None:
    account = replace(overview.accounts[0], gate=replace(overview.accounts[0].gate, gate="outage"))
    assert not list(advice(replace(overview, accounts=(account,))))


def test_nothing_is_said_in_words(overview: Overview, undertaker: Undertaker, redis_url: str) -> None:
    assert all_well(overview).startswith("No deletion has been requested yet")
    undertaker.end("job-1", to="deleted")
    now = whole.look(AppContext.load({"ERASER_REDIS_URL": redis_url}))
    assert all_well(now) == "Nothing is waiting and nothing is dead."


def test_several_accounts_are_told_apart(command: Command, tmp_path: Path) -> None:
    config = tmp_path / "eraser.toml"
    config.write_text('[accounts.a]\nprojects = ["p1"]\n[accounts.b]\nprojects = ["p2"]\n')
    command("pause", "--account", "b", "--reason", "T-1", ERASER_CONFIG=str(config))
    (found,) = command("status", "--json", ERASER_CONFIG=str(config)).json
    assert {account["account"]: account["gate"] for account in found["accounts"]} == {"a": "ok", "b": "paused"}
    assert "eraser resume --account b --reason R" in command("status", ERASER_CONFIG=str(config)).out


@pytest.fixture
def replay(command: Command, undertaker: Undertaker) -> str:
    """The id of a replay of twelve letters, which nobody drives."""
    undertaker.end(*[f"e-{n:02d}" for n in range(12)])
    command("dead", "replay", "server*", "--yes", "--no-wait", "--reason", "TICKET-4711")
    return str(command("replay", "list", "--json").json[0]["replay"])


def replays_shown(command: Command) -> list[str]:
    """The words about replays, each of which leads to its status."""
    (found,) = command("status", "--json").json
    assert [one["command"] for one in found["replays"]] == [
        f"eraser replay status {r['replay']}" for r in found["replays"]
    ]
    assert all(f"{one['command']}   ({one['why']})" in command("status").out for one in found["replays"])
    return [one["why"] for one in found["replays"]]


def test_a_replay_that_runs_is_told_with_how_far_it_is(command: Command, undertaker: Undertaker, replay: str) -> None:
    assert replays_shown(command) == ["a replay is running: 0 of 12 dead letters started"]
    step(undertaker.ledger, replay)
    assert replays_shown(command) == ["a replay is running: 1 of 12 dead letters started"]
    drive(undertaker, replay)
    assert replays_shown(command) == [], "it is done"


def test_dead_letters_that_a_replay_will_come_to_need_nobody(
    command: Command, undertaker: Undertaker, replay: str
) -> None:
    assert "need a person" not in command("status").out
    undertaker.end("later-1")
    assert "(1 dead letter needs a person)" in command("status").out


def test_a_replay_that_stopped_itself_is_told_for_an_hour(
    command: Command, undertaker: Undertaker, replay: str, redis_url: str
) -> None:
    drive(undertaker, replay, to="dead")
    (why,) = replays_shown(command)
    assert why.startswith("a replay of 12 dead letters stopped: the canary failed again")
    app = AppContext.load({"ERASER_REDIS_URL": redis_url})
    assert not replay_service.current(app, app.queries("default").now_ms() + replay_service.LATELY_MS)


def test_a_replay_that_a_person_cancelled_is_nothing_to_tell(command: Command, replay: str) -> None:
    command("replay", "cancel", replay, "--reason", "TICKET-4712")
    assert replays_shown(command) == []


@pytest.mark.parametrize("as_json", [False, True])
def test_watching_outlives_an_outage_of_redis(
    overview: Overview, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, as_json: bool
) -> None:
    monkeypatch.setattr("worker.interfaces.cli.status.EVERY_S_PIPED", 0.0)
    monkeypatch.setattr("worker.interfaces.cli.status.EVERY_S", 0.0)
    looks = [Unreachable("Redis does not answer"), overview]

    def look() -> Overview:
        found = looks.pop(0)
        if isinstance(found, Unreachable):
            raise found
        return found

    follow(look, as_json=as_json, times=2)
    captured = capsys.readouterr()
    if not as_json:
        assert "Redis does not answer; trying again" in captured.err
        assert "nothing is due" in captured.out
        return
    assert json.loads(captured.err)["error"]["message"] == "Redis does not answer"
    (line,) = captured.out.splitlines()
    assert json.loads(line)["states"]["dead"] == 0


def test_it_says_when_a_worker_was_last_heard_of_and_never_that_work_goes_on(
    command: Command, undertaker: Undertaker
) -> None:
    undertaker.request("job-1")
    beat(undertaker, "box:7:abc", 2)
    assert re.search(r"Nothing to do: 1 worker at work, last seen [23] s ago\.", command("status").out)
    beat(undertaker, "box:7:abc", 20)
    out = command("status").out
    assert re.search(
        r"No worker reports that it is working \(last seen 2\d s ago\)\. If this persists, start one: ", out
    )
    assert "Nothing to do" not in out


def test_what_was_left_behind_is_counted_and_somebody_is_told_to_look(command: Command, undertaker: Undertaker) -> None:
    erased(undertaker, "job-1")
    erased(undertaker, "job-2", Verdict.WHOLE_BY_ACKNOWLEDGEMENT)
    (found,) = command("status", "--json").json
    assert {name: number for name, number in found["erasures"].items() if number} == {
        "partial": 1,
        "whole_by_acknowledgement": 1,
    }
    out = " ".join(command("status").out.split())
    assert "erasures: 1 whole_by_acknowledgement, 1 partial" in out
    assert "1 deleted job left something behind" in out
    assert 'avatar_eraser_erasures{account="default",verdict="partial"} 1.0' in command("metrics").out
