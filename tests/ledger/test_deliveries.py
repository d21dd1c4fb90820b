"""What becomes an event, whom it is for, and how long what was delivered is kept."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from tests.ledger.test_gate import fail, gate, many, outage, pass_until_tried, probe, tell
from tests.support.dead_letters import Undertaker
from tests.support.erasures import erased
from tests.support.ledgers import PROJECT, Bench
from worker.config.webhooks import EventType
from worker.ledger import deliveries, scripts
from worker.ledger.deliveries import Deliveries, DeliveryState, Wanted
from worker.ledger.replays import Replays, ReplayStage
from worker.ledger.schema.keys import Key
from worker.model.target import Target

ALL = [Wanted("crm", EventType, None)]
DAY_S = 86400.0
Event = tuple[str, dict[str, Any]]


@pytest.fixture
def recording(bench: Bench) -> Bench:
    """A bench at which somebody delivers."""
    deliveries.fan_out(bench.ledger, ALL)
    return bench


def outbox(of: Bench | Undertaker) -> list[Event]:
    """The events in the outbox; it is empty then."""
    entries: Any = of.ledger.client.xrange(of.ledger.prefix + Key.OUTBOX)
    of.ledger.client.delete(of.ledger.prefix + Key.OUTBOX)
    return [(fields[b"event"].decode(), json.loads(fields[b"about"])) for _, fields in entries]


def names(of: Bench | Undertaker) -> list[str]:
    return [name for name, _ in outbox(of)]


def ids(bench: Bench) -> set[str]:
    return {one.id for one in kept(bench)}


def kept(bench: Bench) -> list[deliveries.Delivery]:
    return list(Deliveries(bench.client, "default").newest())


def due(bench: Bench, endpoint: str = "crm") -> list[str]:
    members: Any = bench.client.zrange(f"{bench.p}{Key.DELIVERIES_DUE}{endpoint}", 0, -1)
    return [member.decode() for member in members]


# -- what becomes an event


def test_nothing_is_written_unless_somebody_delivers(bench: Bench) -> None:
    bench.request("a")
    bench.settle(bench.take())
    bench.ledger.pause(why="T-1")
    bench.ledger.resume(why="T-2")
    bench.client.set(bench.p + Key.HELD_JOBS, "oops")
    bench.request("b")
    assert bench.turn().lease is None
    assert outbox(bench) == []


def test_for_a_day_after_the_last_worker_with_endpoints_events_are_written(recording: Bench) -> None:
    recording.request("a", "b")
    recording.pass_time(DAY_S - 60)
    recording.settle(recording.take())
    recording.pass_time(120)
    recording.settle(recording.take())
    assert outbox(recording) == [("deletion.deleted", {"ref": f"{PROJECT}/a", "requested": "1800000000000"})]


def test_a_letter_that_is_given_up_or_restored_is_no_event(recording: Bench) -> None:
    recording.request("a")
    recording.settle(recording.take(), "dead", cause="refused", status=400)
    job = [Target(PROJECT, "a")]
    recording.ledger.discard(job, why="T-1")
    recording.ledger.restore(job, why="T-2")
    (event,) = outbox(recording)
    assert (event[0], event[1]["why"]) == ("deletion.dead", "refused")


def test_a_late_200_is_an_event_after_the_death(recording: Bench) -> None:
    recording.request("a")
    lease = recording.take()
    recording.settle(lease, "dead", cause="refused", status=500)
    recording.settle(lease, "deleted")
    assert names(recording) == ["deletion.dead", "deletion.deleted"]


def test_each_outage_and_its_end_are_told_once(recording: Bench) -> None:
    """Where lists are answered and nothing is due it is open, and the next job that fails closes it."""
    outage(recording, jobs=5)
    (event,) = outbox(recording)
    assert (event[0], event[1]["scope"], event[1]["cause"]) == ("account.closed", "account", "outage")
    assert float(event[1]["retry"]) == gate(recording).until
    pass_until_tried(recording)
    tell(recording, recording.turn(), "fail", why="no answer")
    assert outbox(recording) == [], "still the same outage"
    pass_until_tried(recording)
    tell(recording, recording.turn(), "listed")
    assert outbox(recording) == [("account.opened", {"scope": "account", "cause": "outage"})]
    many(recording, 8)
    fail(recording, recording.take())
    assert names(recording) == ["account.closed"]
    recording.settle(probe(recording))
    assert names(recording) == ["account.opened", "deletion.deleted"]


def test_a_pause_and_its_end_are_told_once_each(recording: Bench) -> None:
    recording.ledger.pause(why="geheim")
    recording.ledger.pause(why="geheim again")
    recording.ledger.resume(why="T-1")
    recording.ledger.resume(why="T-1")
    about = {"scope": "account", "cause": "paused"}
    assert outbox(recording) == [("account.closed", about), ("account.opened", about)]


def test_a_missing_key_closes_and_a_person_opens(recording: Bench) -> None:
    recording.client.hdel(recording.p + "gate", "good:k1")
    recording.ledger.block_account("credentials", "no key: geheim")
    recording.ledger.block_account("credentials", "no key: geheim")
    recording.ledger.resume(why="T-1")
    (closed, about), opened = outbox(recording)
    assert (closed, about["cause"]) == ("account.closed", "credentials")
    assert opened == ("account.opened", {"scope": "account", "cause": "credentials"})
    assert "geheim" not in str(about)
    recording.open()


def test_with_another_address_what_was_closed_is_told_to_be_open(recording: Bench) -> None:
    """A pause stays, and what people are shown no closure of opens without a word."""
    recording.client.hdel(recording.p + "gate", "good:k1")
    recording.ledger.block_account("credentials", "no key")
    recording.ledger.pause(why="T-1")
    quiet = {"cause": "outage", "since": recording.now, "until": recording.now, "pause": 1000, "quiet": True}
    recording.client.hset(recording.p + Key.CLOSURES, "family voices", json.dumps(quiet))
    assert names(recording) == ["account.closed", "account.closed"]
    assert recording.ledger.rebind("https://metastudio.example", why="T-2", by=None, plan=False).bound
    assert outbox(recording) == [("account.opened", {"scope": "account", "cause": "credentials"})]


@pytest.mark.parametrize("name", ["gate", "account", "holds:jobs"])
def test_a_pause_because_of_damage_is_told_once_and_so_is_its_end(recording: Bench, name: str) -> None:
    recording.client.delete(recording.p + name)
    recording.client.set(recording.p + name, "oops")
    recording.request("a")
    assert recording.turn().lease is None
    assert recording.turn().lease is None
    about = {"scope": "account", "cause": "paused"}
    assert outbox(recording) == [("account.closed", about)]
    deliveries.fan_out(recording.ledger, ALL)
    recording.ledger.resume(why="T-1")
    assert outbox(recording) == [("account.opened", about)]


def test_damage_in_a_paused_account_closes_it_no_second_time(recording: Bench) -> None:
    recording.ledger.pause(why="T-1")
    recording.client.set(recording.p + Key.HELD_JOBS, "oops")
    recording.request("a")
    assert recording.turn().lease is None
    assert recording.gate()["paused"].startswith("the hold list was damaged")
    assert names(recording) == ["account.closed"]


def test_what_was_closed_is_told_to_be_open_though_the_gate_was_damaged_meanwhile(recording: Bench) -> None:
    recording.client.hdel(recording.p + "gate", "good:k1")
    recording.ledger.block_account("credentials", "no key")
    recording.client.delete(recording.p + "gate")
    recording.client.set(recording.p + "gate", "oops")
    assert recording.turn().lease is None
    assert names(recording) == ["account.closed", "account.closed"]
    recording.ledger.resume(why="T-1")
    assert sorted(about["cause"] for _, about in outbox(recording)) == ["credentials", "paused"]
    assert recording.client.exists(recording.p + Key.CLOSURES) == 0
    recording.open()


def test_a_closure_that_cannot_be_read_is_told_to_be_open(recording: Bench) -> None:
    recording.client.hdel(recording.p + "gate", "good:k1")
    recording.ledger.block_account("credentials", "no key")
    assert names(recording) == ["account.closed"]
    recording.open()
    recording.client.hset(recording.p + Key.CLOSURES, "account", "[1")
    recording.request("a")
    assert recording.turn().lease
    assert outbox(recording) == [("account.opened", {"scope": "account"})]


def test_a_replay_that_ends_is_told_with_its_counts(client: Any, redis_url: str) -> None:
    undertaker = Undertaker(redis_url)
    undertaker.end("a", "b")
    deliveries.fan_out(undertaker.ledger, ALL)
    replays = Replays(undertaker.ledger)
    for id, jobs in (("r-1", ["a"]), ("r-2", ["b"])):
        replays.snapshot(id, [Target(undertaker.project, job) for job in jobs])
        replays.start(replays.terms(id, why="T-1", by=None, what="all", groups={}, mark=9, deadline_s=600))
    replay = replays.find("r-1")
    assert replay is not None
    replays.requeue_batch(replay, 1, ReplayStage.REST)
    undertaker.settle(undertaker.take(), to="deleted")
    replays.stop("r-2", why="T-2")
    replays.revert_unstarted("r-2")
    finished = [about for name, about in outbox(undertaker) if name == "replay.finished"]
    assert [(one["replay"], one["state"], one["total"], one.get("deleted")) for one in finished] == [
        ("r-1", "done", "1", "1"),
        ("r-2", "stopped", "1", None),
    ]


def test_an_erasure_that_closes_is_told_with_its_verdict(redis_url: str, client: Any) -> None:
    undertaker = Undertaker(redis_url)
    deliveries.fan_out(undertaker.ledger, ALL)
    erased(undertaker, "a")
    ref = str(Target(undertaker.project, "a"))
    assert outbox(undertaker)[-1] == ("erasure.closed", {"ref": ref, "verdict": "partial"})


# -- whom it is for


def test_each_endpoint_gets_what_it_wants(recording: Bench) -> None:
    recording.request("a")
    recording.settle(recording.take())
    recording.request("b")
    recording.settle(recording.take(), "dead", cause="refused", status=400)
    recording.ledger.pause(why="T-1")
    wanted = [
        Wanted("all", EventType, None),
        Wanted("deaths", [EventType.DEAD], None),
        Wanted("ours", EventType, [PROJECT], account=False),
        Wanted("account", EventType, [PROJECT, "q"], account=True),
        Wanted("theirs", EventType, ["q"], account=False),
    ]
    assert deliveries.fan_out(recording.ledger, wanted) == 3
    assert {name: len(due(recording, name)) for name in ("all", "deaths", "ours", "account", "theirs")} == {
        "all": 3,
        "deaths": 1,
        "ours": 2,
        "account": 3,
        "theirs": 0,
    }
    assert len(ids(recording)) == 3, "an event has the same id at each endpoint"
    assert deliveries.fan_out(recording.ledger, wanted) == 0
    assert recording.client.exists(recording.p + Key.OUTBOX) == 0
    recording.ledger.resume(why="T-2")


def test_what_is_no_event_of_ours_is_dropped(recording: Bench) -> None:
    recording.client.xadd(recording.p + Key.OUTBOX, {"event": "deletion.deleted", "at": "1", "about": "no JSON"})
    recording.client.xadd(recording.p + Key.OUTBOX, {"x": "y"})
    assert deliveries.fan_out(recording.ledger, ALL) == 2
    assert kept(recording) == []


# -- leases and what is kept


def test_only_the_last_who_took_it_may_say_that_it_failed(recording: Bench) -> None:
    recording.request("a")
    recording.settle(recording.take())
    deliveries.fan_out(recording.ledger, ALL)
    (first,) = deliveries.take(recording.ledger, "crm", 5)
    assert deliveries.take(recording.ledger, "crm", 5) == []
    recording.pass_time(deliveries.LEASE_S + 1)
    (second,) = deliveries.take(recording.ledger, "crm", 5)
    assert (second.id, second.lease) == (first.id, 2)
    assert deliveries.settle(recording.ledger, "crm", first, status=500, ms=1, why="x") == "late"
    assert deliveries.settle(recording.ledger, "crm", second, status=500, ms=1, why="x", delay_s=10) == "waiting"
    assert deliveries.take(recording.ledger, "crm", 5) == []
    assert deliveries.settle(recording.ledger, "crm", first, status=204, ms=1, why="y") == "delivered", "it has it"
    assert due(recording) == []
    (one,) = kept(recording)
    assert (one.state, [attempt.status for attempt in one.attempts]) == (DeliveryState.DELIVERED, [500, 204])


def test_a_secret_that_cannot_be_read_uses_no_attempt(recording: Bench) -> None:
    recording.request("a")
    recording.settle(recording.take())
    deliveries.fan_out(recording.ledger, ALL)
    for used, failed in ((False, 0), (True, 0), (True, 1)):
        (taken,) = deliveries.take(recording.ledger, "crm", 5)
        assert taken.failed == failed
        deliveries.settle(recording.ledger, "crm", taken, status=None, ms=0, why="x", used=used, delay_s=1)
        recording.pass_time(2)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """At most two deliveries wait for an endpoint, and two that ended are kept."""
    read = scripts._read
    scripts._load.cache_clear()
    monkeypatch.setattr(
        scripts, "_read", lambda name: re.sub(r"(WAITING|ENDED)_MOST = 10000", r"\1_MOST = 2", read(name))
    )
    yield
    monkeypatch.undo()
    scripts._load.cache_clear()


def happen(bench: Bench, *jobs: str, wanted: Iterable[Wanted] = ALL) -> None:
    """These jobs are deleted a second apart, and deliveries made of that."""
    for job in jobs:
        bench.request(job)
        bench.settle(bench.take())
        bench.pass_time(1)
        deliveries.fan_out(bench.ledger, wanted)


def end(bench: Bench, status: int, endpoint: str = "crm") -> str:
    """Try the delivery that is due next, and give it up if it fails. Returns its id."""
    (taken,) = deliveries.take(bench.ledger, endpoint, 1)
    state = deliveries.settle(bench.ledger, endpoint, taken, status=status, ms=1, why="x")
    assert state == ("delivered" if status == 200 else "dead")
    return taken.id


def stand(bench: Bench) -> list[tuple[str, str]]:
    """Each delivery that is kept, the newest first: its job, and where it stands."""
    return [(one.about["ref"].removeprefix(f"{PROJECT}/"), one.state) for one in kept(bench)]


def left_over(bench: Bench) -> set[str]:
    """Names of the keys about deliveries, less the counts."""
    found = {key.decode().removeprefix(bench.p) for key in bench.client.scan_iter(f"{bench.p}webhook*")}
    return found - {Key.DELIVERY_COUNTS}


@pytest.mark.usefixtures("few")
def test_of_too_many_deliveries_that_ended_the_oldest_go(recording: Bench) -> None:
    """Whatever waits beside them for an endpoint that is down."""
    down = [*ALL, Wanted("down", EventType, None)]
    for n, status in enumerate((500, 200, 200)):
        happen(recording, f"job-{n}", wanted=down)
        end(recording, status)
    of_crm = [(one.about["ref"], one.state) for one in kept(recording) if one.endpoint == "crm"]
    assert of_crm == [(f"{PROJECT}/job-2", "delivered")], "one of the other endpoint ended, too"
    assert [one.endpoint for one in kept(recording) if one.state == "dead"] == ["down"]
    assert Deliveries(recording.client, "default").dead("crm") == []
    assert len(due(recording, "down")) == 2


@pytest.mark.usefixtures("few")
def test_of_too_many_that_wait_the_oldest_are_given_up(recording: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """The oldest by when it was made, whenever it is tried next."""
    happen(recording, "a")
    (taken,) = deliveries.take(recording.ledger, "crm", 1)
    deliveries.settle(recording.ledger, "crm", taken, status=500, ms=1, why="x", delay_s=3600)
    happen(recording, "b")
    (flying,) = deliveries.take(recording.ledger, "crm", 1)
    assert not caplog.records
    happen(recording, "c", "d")
    assert stand(recording) == [("d", "waiting"), ("c", "waiting"), ("b", "dead"), ("a", "dead")]
    assert [(line.message, line.__dict__["endpoint"], line.__dict__["count"]) for line in caplog.records] == [
        ("webhook.dead", "crm", 1)
    ] * 2
    (counts,) = Deliveries(recording.client, "default").counts(recording.now)
    assert (counts.waiting, counts.dead, counts.totals["dead"]) == (2, 2, 2)
    assert kept(recording)[-1].attempts[-1].why == "not sent: too many waited, and it was the oldest"
    assert deliveries.settle(recording.ledger, "crm", flying, status=500, ms=1, why="x", delay_s=1) == "late"
    assert stand(recording)[2] == ("b", "dead")
    assert deliveries.settle(recording.ledger, "crm", flying, status=200, ms=1, why="x") == "delivered"
    assert Deliveries(recording.client, "default").dead("crm") == [taken.id]


@pytest.mark.usefixtures("few")
def test_what_is_replayed_is_among_the_newest_that_wait(recording: Bench) -> None:
    happen(recording, "a")
    first = end(recording, 500)
    happen(recording, "b", "c")
    recording.pass_time(1)
    assert deliveries.replay(recording.ledger, "crm", [first], why="T-1") == {first: "replayed"}
    assert stand(recording) == [("a", "waiting"), ("c", "waiting"), ("b", "dead")]
    (counts,) = Deliveries(recording.client, "default").counts(recording.now)
    assert counts.oldest_ms == 1000, "since c was made"


def test_what_ended_is_forgotten_a_month_later(recording: Bench) -> None:
    happen(recording, "a", "b", wanted=[*ALL, Wanted("other", EventType, None)])
    recording.pass_time(29 * DAY_S)
    end(recording, 200)
    first = end(recording, 500)
    recording.pass_time(2 * DAY_S)
    deliveries.replay(recording.ledger, "crm", [first], why="T-1")
    end(recording, 500)
    recording.pass_time(27 * DAY_S)
    recording.ledger.forget(keep_s=400 * DAY_S)
    assert len([one for one in kept(recording) if one.endpoint == "crm"]) == 2
    recording.pass_time(2 * DAY_S)
    recording.ledger.forget(keep_s=400 * DAY_S)
    assert [one.id for one in kept(recording) if one.endpoint == "crm"] == [first]
    recording.pass_time(2 * DAY_S)
    recording.ledger.forget(keep_s=400 * DAY_S)
    assert [one for one in kept(recording) if one.endpoint == "crm"] == []


def test_what_waited_for_a_month_is_given_up_and_can_be_replayed(recording: Bench) -> None:
    """As what waits for an endpoint that nobody has any more."""
    happen(recording, "a", "b")
    recording.pass_time(31 * DAY_S)
    recording.ledger.forget(keep_s=400 * DAY_S)
    assert stand(recording) == [("b", "dead"), ("a", "dead")]
    assert kept(recording)[0].attempts[-1].why == "not sent: it waited for 30 days"
    (counts,) = Deliveries(recording.client, "default").counts(recording.now)
    assert (counts.waiting, counts.dead, counts.totals["dead"]) == (0, 2, 2)
    first = kept(recording)[-1].id
    deliveries.replay(recording.ledger, "crm", [first], why="T-1")
    recording.pass_time(29 * DAY_S)
    recording.ledger.forget(keep_s=400 * DAY_S)
    assert stand(recording) == [("a", "waiting"), ("b", "dead")]
    recording.pass_time(2 * DAY_S)
    recording.ledger.forget(keep_s=400 * DAY_S)
    assert stand(recording) == [("a", "dead")]
    recording.pass_time(31 * DAY_S)
    recording.ledger.forget(keep_s=400 * DAY_S)
    assert left_over(recording) == set()


def test_events_that_nobody_takes_any_more_are_forgotten(recording: Bench) -> None:
    recording.request("a")
    recording.settle(recording.take())
    recording.pass_time(DAY_S - 60)
    recording.ledger.forget(keep_s=400 * DAY_S)
    assert recording.client.xlen(recording.p + Key.OUTBOX) == 1, "a worker with endpoints may come back"
    recording.pass_time(120)
    recording.ledger.forget(keep_s=400 * DAY_S)
    assert recording.client.exists(recording.p + Key.OUTBOX) == 0


# -- what people read


def test_the_log_is_read_in_pages_and_shows_each_delivery_once(
    recording: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where many were made in the same millisecond, more come meanwhile, and some go."""
    monkeypatch.setattr(deliveries, "_PAGE", 2)
    for job in "abcde":
        recording.request(job)
        recording.settle(recording.take())
    deliveries.fan_out(recording.ledger, ALL)
    recording.pass_time(1)
    happen(recording, "f")
    end(recording, 500)
    zrange, sizes = recording.client.zrange, []

    def counted(*args: Any, **options: Any) -> Any:
        found = zrange(*args, **options)
        sizes.append(len(found))
        return found

    monkeypatch.setattr(recording.client, "zrange", counted)
    log = Deliveries(recording.client, "default")
    reading = log.newest()
    first = [next(reading), next(reading)]
    assert sum(sizes) == 2
    happen(recording, "g")
    same: Any = recording.client.zscore(recording.p + Key.DELIVERIES, f"crm:{first[1].id}")
    recording.client.zadd(recording.p + Key.DELIVERIES, {f"crm:other-{n}": same for n in "xyz"})
    rest = list(reading)
    assert sorted(one.about["ref"][-1] for one in [*first, *rest]) == [*"abcdef"]
    assert max(sizes) <= 10, "a page, and what it has of the same millisecond"
    assert len(log.dead("crm")) == 1
