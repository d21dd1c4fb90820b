"""What other programs spoil in the ledger is put aside and told, and stops nothing."""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from tests.support.command import Command
from tests.support.damaged_ledger import CLOSED, Mutation, Snapshot, build, mutations, outcomes, put_aside_now, work
from tests.support.dead_letters import PROJECT, Undertaker
from tests.support.http_site import Site
from tests.support.ledgers import LEASE_MS, Bench
from worker.execution.app_context import AppContext
from worker.execution.dispatcher import Dispatcher
from worker.interfaces.cli.status import page
from worker.ledger.connection import connect
from worker.ledger.damage import DamageList, check
from worker.ledger.holds import HoldList
from worker.ledger.keys import OURS
from worker.ledger.redis_read import WrongKind
from worker.ledger.replays import Replays, ReplayStage, ReplayState
from worker.ledger.runs import Runs
from worker.model.states import State
from worker.model.target import Target
from worker.services import metrics, status

EVERY = int(os.environ.get("DAMAGE_EVERY", "29"))  # one in so many ways to damage it; 1 takes a quarter of an hour
PARTS = 6
PAUSES = {"holds:jobs": "the hold list", "holds:users": "the hold list", "gate": "the gate", "account": "the address"}
NAMED = "assets"  # who named what: the same, once somebody reads it
COMES_AGAIN = (":ends:", ":wakeups", ":waiting")  # in moments, or counts a minute; nothing is told of it
RECORD = f"eraser:{{default}}:d:{PROJECT}/job-1"


# -- every key, every field, every member ------------------------------------------------------------------------------


@pytest.mark.timeout(0)
@pytest.mark.parametrize("part", range(PARTS))
def test_whatever_is_damaged_all_others_end_and_nothing_is_silent(
    redis_url: str, part: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, "worker")
    client = connect(redis_url)
    bench = build(client)
    whole = Snapshot.of(client)
    ways = list(mutations(client, bench.p))
    work(bench)
    right = outcomes(bench)
    assert not put_aside_now(bench)
    wrong = []
    for way in ways[part::PARTS][::EVERY]:
        whole.restore()
        try:
            way.apply(client)
        except redis.ResponseError:
            continue  # Redis itself refuses that
        wrong += [f"{way}: {what}" for what in faults(bench, redis_url, right, way)]
    assert wrong == []


def test_a_replay_that_no_index_names_any_more_goes_on(redis_url: str) -> None:
    client = connect(redis_url)
    bench = build(client)
    whole = Snapshot.of(client)
    work(bench)
    right = outcomes(bench)
    whole.restore()
    assert client.delete(bench.p + "replays:feeding") == 1
    work(bench)
    assert outcomes(bench) == right
    assert not put_aside_now(bench)


def faults(bench: Bench, redis_url: str, right: dict[str, str], way: Mutation) -> Iterator[str]:
    """What is not as it has to be after this damage."""
    try:
        read_all(redis_url)
        work(bench)
        read_all(redis_url)
    except Exception as error:
        yield f"{type(error).__name__}: {error}"
        return
    now, reported = outcomes(bench), put_aside_now(bench)
    put_aside = reported | {name.partition(" ")[0] for name in reported if name.startswith("erasure:")}  # of a field
    if put_aside & {*PAUSES, NAMED}:
        assert " was damaged (" in bench.gate()["paused"]
        return  # nothing is sent until a person has looked
    others = {ref for ref in right.keys() | now.keys() if right.get(ref) != now.get(ref)} - put_aside
    if any(name.startswith("replay:") for name in put_aside):
        others -= {ref for ref in others if now.get(ref) == "dead"}  # dead letters of a replay that is no more
    if way.key.endswith((b":gate", b":closures", b":probes")):  # what was closed may be open: it is refused again
        others -= {ref for ref in others if ref.startswith(f"{CLOSED}/")}
    if others:
        yield f"{ {ref: (right.get(ref), now.get(ref)) for ref in others} }, and told was {put_aside}"
    if "becomes" in way.how and not put_aside and not any(name in str(way) for name in COMES_AGAIN):
        yield "nobody was told"


def read_all(redis_url: str) -> None:
    """Everything that people and programs look at."""
    app = AppContext.load({"ERASER_REDIS_URL": redis_url, "ERASER_REGION": "cn-north-4"})
    overview = status.look(app)
    status.as_json(overview), page(overview)
    assert metrics.exposition(app)
    try:
        for state in State:
            list(app.queries("default").each(state, history=True))
        list(app.bulk_queries("default").letters()), app.bulk_queries("default").groups()
        list(HoldList(app.ledger("default")).each())
        list(app.audit("default").newest())
        Runs(app.ledger("default")).latest(10)
    except WrongKind:
        pass  # it says what to do
    finally:
        app.redis.close()


# -- one after the other -----------------------------------------------------------------------------------------------


@pytest.fixture
def bench(redis_url: str) -> Bench:
    made = Bench(connect(redis_url))
    made.open()
    return made


def test_a_record_that_is_gone_stops_no_other(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.request("a", "b")
    bench.client.delete(f"{bench.p}d:p/a")
    lease = bench.take()
    assert lease.ref == Target("p", "b")
    assert bench.settle(lease) == "deleted"
    (one,) = DamageList(bench.client, "default").each()
    assert (one.name, one.why) == ("p/a", "its record is missing")
    assert [(r.msg, vars(r)["what"]) for r in caplog.records] == [("ledger.damaged", "p/a")]
    bench.check_invariant()


def test_an_index_that_is_no_index_is_put_aside_and_built_anew_from_the_records(bench: Bench) -> None:
    bench.request("a", "b")
    bench.client.set(f"{bench.p}due:bulk", "oops")
    assert bench.turn().lease is None
    assert bench.client.get(f"{bench.p}aside:due:bulk") == b"oops"
    check(bench.ledger, [Target("p", "a"), Target("p", "b")])
    assert {bench.take().ref.id, bench.take().ref.id} == {"a", "b"}
    assert put_aside_now(bench) == {"due:bulk"}


def test_what_was_in_its_grace_period_is_not_sent_because_its_time_was_lost(bench: Bench) -> None:
    bench.request("a", delay_s=3600)
    bench.client.delete(f"{bench.p}due:bulk")
    check(bench.ledger, [Target("p", "a")])
    assert put_aside_now(bench) == {"p/a"}
    assert bench.turn().lease is None
    bench.request("a", delay_s=7200)
    assert put_aside_now(bench) == set()
    bench.pass_time(7201)
    assert bench.take().ref.id == "a"


@pytest.mark.parametrize("score", [None, "inf", "-inf"])
def test_a_lease_whose_end_was_lost_ends_no_sooner_than_a_lease_that_began_now(bench: Bench, score: str | None) -> None:
    bench.request("a")
    lease = bench.take()
    bench.client.zrem(f"{bench.p}running", "p/a")
    if score:
        bench.client.zadd(f"{bench.p}running", {"p/a": score})  # type: ignore[dict-item]
    check(bench.ledger, [Target("p", "a")])
    bench.pass_time(LEASE_MS / 1000 - 1)
    bench.ledger.rescue(alive=[], counts=True)
    assert bench.settle(lease) == "deleted"


def test_a_deletion_that_stands_where_it_does_not_belong_is_neither_sent_nor_forgotten(bench: Bench) -> None:
    bench.request("done", "waits", delay_s=0)
    bench.settle(bench.take())
    bench.client.zadd(f"{bench.p}due:bulk", {"p/done": 1})
    bench.client.zadd(f"{bench.p}deleted", {"p/waits": 1})
    bench.ledger.forget(keep_s=60)
    assert bench.take().ref.id == "waits"
    bench.check_invariant()


def test_no_call_leaves_on_a_record_that_was_spoilt_while_an_executor_looked(bench: Bench) -> None:
    bench.request("a")
    lease = bench.take()
    bench.client.hset(f"{bench.p}d:p/a", "wish", "perhaps")
    assert not bench.ledger.confirm(lease, key="k1", owner=None)
    assert put_aside_now(bench) == {"p/a"}


def test_the_answer_to_a_call_under_way_is_kept_with_what_was_spoilt(bench: Bench) -> None:
    bench.request("a")
    lease = bench.take()
    bench.client.hset(f"{bench.p}d:p/a", "dl", "tomorrow")
    assert bench.settle(lease) == "unknown"
    (one,) = DamageList(bench.client, "default").each()
    assert one.why == "its field dl cannot be: tomorrow"
    assert one.response == "deleted"


def test_whoever_asks_again_keeps_what_is_known_of_earlier_calls(bench: Bench) -> None:
    bench.request("a")
    bench.settle(bench.take(), "pending", wait="retry", delay_s=0, fields={"unk": "1"})
    bench.client.hset(f"{bench.p}d:p/a", "lane", "fast")
    assert bench.turn().lease is None
    assert bench.request("a") == ["pending"]
    assert bench.record("a")["unk"] == "1"
    assert '"outcome":"pending"' in bench.record("a")["log"]
    assert put_aside_now(bench) == set()
    assert not bench.client.exists(f"{bench.p}aside:p/a")
    bench.check_invariant()


def test_a_garbled_app_user_lets_nothing_go_that_may_be_on_hold(bench: Bench) -> None:
    bench.request("a")
    bench.holds.add_user("somebody", why="LAW-1", by="ops")
    bench.client.hset(f"{bench.p}d:p/a", "owner", "nobody")
    assert bench.turn().lease is None
    assert put_aside_now(bench) == {"p/a"}
    assert bench.client.hget(f"{bench.p}aside:p/a", "owner") == b"nobody"


def test_a_letter_that_names_no_replay_holds_up_the_one_that_fed_it_no_longer(bench: Bench) -> None:
    replays = replay_of_two(bench)
    bench.client.hset(f"{bench.p}d:p/a", "rp", "{}")
    bench.pass_time(1)
    assert bench.settle(bench.take()) == "deleted"
    assert put_aside_now(bench) == {"p/a rp"}
    (replay,) = replays.current()
    assert (replay.open, replay.damaged) == (0, 1)
    bench.check_invariant()


def test_a_closure_that_cannot_be_read_closes_nothing(bench: Bench) -> None:
    bench.request("a")
    bench.client.hset(f"{bench.p}closures", mapping={"project p": "[1", "account": '{"cause":"outage"}'})
    bench.client.hset(f"{bench.p}gate", "closed", 2)
    assert bench.take().ref.id == "a"
    assert put_aside_now(bench) == {"closures project p", "closures account"}


@pytest.mark.parametrize("field", ["since", "until", "pause"])
@pytest.mark.parametrize("value", ['"1"', "NaN", "Infinity", "true", "[]"])
def test_a_closure_whose_times_are_no_numbers_closes_nothing(bench: Bench, field: str, value: str) -> None:
    """Also where Lua would take them for some: the moves would fail wherever they compare them."""
    bench.request("a")
    times = {"since": "1", "until": "2", "pause": "3"} | {field: value}
    text = ",".join(['{"cause":"outage"', *(f'"{name}":{time}' for name, time in times.items())]) + "}"
    bench.client.hset(f"{bench.p}closures", "account", text)
    bench.client.hset(f"{bench.p}gate", "closed", 1)
    assert bench.take().ref.id == "a"
    assert put_aside_now(bench) == {"closures account"}


def test_where_the_place_that_was_answered_last_was_damaged_another_is_found(bench: Bench) -> None:
    bench.request("a", "b")
    bench.client.hset(f"{bench.p}gate", mapping={"failing": 2, "well": "oops", "well_at": bench.now})
    assert bench.take().ref.id in "ab"
    assert put_aside_now(bench) == {"gate well"}


@pytest.mark.parametrize("name", PAUSES)
def test_without_what_may_forbid_a_call_nothing_is_sent(bench: Bench, name: str) -> None:
    bench.request("a", "b")
    bench.holds.add([Target("p", "a")], why="LAW-1", by="ops")
    bench.holds.add_user("somebody", why="LAW-1", by="ops")
    bench.ledger.endpoint = "https://metastudio.example"
    bench.client.set(bench.p + name, "oops")
    assert bench.turn().lease is None
    assert bench.gate()["paused"] == f"{PAUSES[name]} was damaged ({name}): see eraser damaged list"
    assert put_aside_now(bench) == {name}


def replay_of_two(bench: Bench) -> Replays:
    """Of the dead letters a and b; a was fed."""
    for job in ("a", "b"):
        bench.request(job)
        bench.settle(bench.take(), "dead", cause="server_error")
    replays = Replays(bench.ledger)
    replays.snapshot("r", [Target("p", "a"), Target("p", "b")])
    terms: dict[str, Any] = {"why": "T", "by": None, "what": "all", "groups": {}, "deadline_s": 86400}
    replays.start(replays.terms("r", mark=replays.mark(), **terms))
    (replay,) = replays.current()
    replays.requeue_batch(replay, 1, ReplayStage.CANARY)
    return replays


def test_a_replay_waits_for_no_letter_that_stood_in_no_index(bench: Bench) -> None:
    replays = replay_of_two(bench)
    bench.holds.add([Target("p", "a")], why="LAW-1", by="ops")
    bench.client.zrem(f"{bench.p}held", "p/a")
    check(bench.ledger, [Target("p", "a")], keys=False)
    (replay,) = replays.current()
    assert (replay.open, replay.held, replay.damaged) == (0, 0, 1)


def test_a_replay_waits_for_no_letter_that_was_spoilt(bench: Bench) -> None:
    replays = replay_of_two(bench)
    bench.client.delete(f"{bench.p}d:p/a")
    bench.pass_time(1)
    assert bench.turn().lease is None
    (replay,) = replays.current()
    assert (replay.open, replay.ahead, replay.damaged) == (0, 0, 1)
    replays.requeue_batch(replay, 1, ReplayStage.REST)
    bench.settle(bench.take())
    (replay,) = replays.current()
    assert replay.state is ReplayState.DONE


def test_receipts_go_on_with_the_next_number_where_the_book_was_lost(bench: Bench) -> None:
    for job in ("a", "b"):
        bench.request(job)
        bench.settle(bench.take())
    bench.client.hset(f"{bench.p}receipts:chain", "n", "many")
    bench.request("c")
    bench.settle(bench.take())
    entries: Any = bench.client.xrange(f"{bench.p}receipts")
    assert [fields[b"n"] for _, fields in entries] == [b"1", b"2", b"3"]


def test_a_place_of_the_chain_that_cannot_be_is_put_aside_by_the_full_look(bench: Bench) -> None:
    bench.client.hset(f"{bench.p}receipts:chain", mapping={"sealed_n": "many", "archived_id": "0-0"})
    check(bench.ledger, keys=True)
    assert bench.client.hgetall(f"{bench.p}receipts:chain") == {b"archived_id": b"0-0"}
    assert [one.name for one in DamageList(bench.client, "default").each()] == ["receipts:chain sealed_n"]


def test_receipts_begin_anew_where_none_can_follow_the_last(bench: Bench) -> None:
    bench.client.xadd(f"{bench.p}receipts", {"foo": "bar"}, id=f"{2**64 - 1}-{2**64 - 1}")
    bench.request("a")
    assert bench.settle(bench.take()) == "deleted"
    ((_, fields),) = bench.client.xrange(f"{bench.p}receipts")  # type: ignore[misc]
    assert fields[b"ref"] == b"p/a"
    assert put_aside_now(bench) == {"receipts"}


# -- what people see ---------------------------------------------------------------------------------------------------


def damage_one(undertaker: Undertaker) -> None:
    undertaker.request("job-1")
    undertaker.redis.hset(RECORD, "dl", "tomorrow")


def test_status_show_doctor_and_metrics_tell_it(command: Command, undertaker: Undertaker) -> None:
    damage_one(undertaker)
    shown = command("show", "job-1")
    assert shown.code == 1
    assert "the ledger's entry of job-1 was damaged: its field dl cannot be: tomorrow." in shown.err
    assert f"eraser request job-1 --project {PROJECT} requests it again" in shown.err
    assert command("status", "--json").json[0]["damaged"] == 1
    assert "Next: eraser damaged list" in command("status").out
    assert "1 entry of the ledger was damaged and set aside" in command("status").out
    assert re.search(rf"^wrong +ledger +{PROJECT}/job-1: its field dl", command("doctor", "--offline").out, re.M)
    assert 'avatar_eraser_damaged_entries{account="default"} 1.0' in command("metrics").out
    assert 'event="deletion.damaged"} 1.0' in command("metrics").out


def test_the_list_says_how_to_go_on_and_asking_again_does_it(command: Command, undertaker: Undertaker) -> None:
    damage_one(undertaker)
    command("show", "job-1")
    (one,) = command("damaged", "list", "--json").json
    assert (one["project_id"], one["job_id"], one["answer"]) == (PROJECT, "job-1", None)
    assert f"eraser damaged discard {PROJECT}/job-1 --reason R" in " ".join(command("damaged", "list").out.split())
    assert command("request", "job-1").code == 0
    assert command("damaged", "list").out == "Nothing is damaged.\n"
    assert command("show", "job-1").code == 0


def test_what_is_given_up_is_in_the_audit(command: Command, undertaker: Undertaker) -> None:
    damage_one(undertaker)
    command("show", "job-1")
    name = f"{PROJECT}/job-1"
    assert command("damaged", "discard", name).code == 2, "without a reason"
    ended = command("damaged", "discard", name, "nothing", "--reason", "T-1", "--by", "ops-7")
    assert (ended.code, ended.out) == (1, f"{name}: discarded\nnothing: nothing with this name was set aside\n")
    (entry,) = command("audit", "--json").json
    assert (entry["act"], entry["by"], entry["reason"]) == ("damage.dropped", "ops-7", "T-1")
    assert not undertaker.redis.keys("eraser:{default}:aside:*")


def test_status_puts_a_key_of_the_wrong_kind_aside_itself(command: Command, undertaker: Undertaker) -> None:
    undertaker.end("dead-1")
    undertaker.redis.delete("eraser:{default}:discarded")
    undertaker.redis.set("eraser:{default}:discarded", "oops")
    assert command("status", "--json").json[0]["damaged"] == 1
    (one,) = command("damaged", "list", "--json").json
    assert (one["name"], one["why"]) == ("discarded", "it was a string, which is the wrong kind of key")


def test_the_http_side_says_409_damaged(site: Site) -> None:
    assert site.ask("job-1").status_code == 202
    site.app.redis.hset(RECORD, "at", "yesterday")
    response = site.call("GET", f"/api/projects/{PROJECT}/deletions/job-1")
    assert (response.status_code, response.json()["type"]) == (409, "urn:avatar-eraser:damaged")


# -- the dispatcher ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["wakeups", "wake_now", "workers", "worker_info", "dispatcher", "schedule", "replays"])
def test_a_dispatcher_outlives_spoilt_hints(redis_url: str, undertaker: Undertaker, name: str) -> None:
    notified: list[str] = []
    app = AppContext.load({"ERASER_REDIS_URL": redis_url, "ERASER_REGION": "cn-north-4"})
    app.notify = lambda account, _: notified.append(account)
    dispatcher = Dispatcher(app)
    dispatcher._check = 0.0
    key = getattr(OURS, name)
    undertaker.redis.delete(key)
    undertaker.redis.rpush(key, "oops")
    undertaker.request("job-1")
    for _ in range(3):
        try:
            dispatcher.tick()
        except redis.RedisError as error:
            dispatcher._miss(error)
    assert notified == ["default"]


def test_a_dispatcher_finds_what_no_index_has_and_what_has_no_record(redis_url: str, undertaker: Undertaker) -> None:
    app = AppContext.load({"ERASER_REDIS_URL": redis_url, "ERASER_REGION": "cn-north-4"})
    undertaker.request("job-1", "job-2", "job-3")
    prefix = undertaker.ledger.prefix
    undertaker.redis.zrem(f"{prefix}due:bulk", f"{PROJECT}/job-1")
    undertaker.redis.delete(f"{prefix}d:{PROJECT}/job-2")
    undertaker.redis.zadd(f"{prefix}due:bulk", {f"{PROJECT}/job-3": "inf"})
    dispatcher = Dispatcher(app)
    dispatcher._check = 0.0
    dispatcher.tick()
    due: Any = undertaker.redis.zrange(f"{prefix}due:bulk", 0, -1)
    assert {member.decode() for member in due} == {f"{PROJECT}/job-1", f"{PROJECT}/job-3"}
    (one,) = DamageList(undertaker.redis, "default").each()
    assert one.name == f"{PROJECT}/job-2"
    assert json.loads(undertaker.redis.hget(f"{prefix}damaged", one.name))["why"] == "its record is missing"  # type: ignore[arg-type]
