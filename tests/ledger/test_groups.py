"""The ledger's own groups of dead letters, and its count of what ended in each minute."""

from __future__ import annotations

from typing import Any

import redis

from tests.support.dead_letters import Undertaker
from tests.support.ledgers import START_MS, Bench
from worker.execution.app_context import AppContext
from worker.ledger.bulk_queries import BulkQueries
from worker.ledger.keys import OURS
from worker.model.states import State
from worker.model.target import Target
from worker.services import dead_letter_actions, dead_letters, throughput
from worker.services.act import Approval
from worker.services.dead_letter_actions import Verb
from worker.services.dead_letters import group_of


def test_groups_are_what_reading_every_letter_would_find(app: AppContext, undertaker: Undertaker) -> None:
    undertaker.end("a", "b", "c")
    undertaker.end("d", cause="refused", status=403, code="APIGW =1+1/0302")
    undertaker.end("e", cause="deadline", status=None, code=None)
    undertaker.end("f", to="deleted")
    found: dict[str, list[Any]] = {}
    for letter in dead_letters.letters(app):
        found.setdefault(group_of(letter), []).append(letter)
    assert len(found) == 3
    for group in dead_letters.groups(app):
        letters = found.pop(group.group)
        assert (group.count, group.cause) == (len(letters), letters[0].cause)
        assert (group.status, group.code) == (letters[0].status, letters[0].code)
        assert group.first_seen == min(letter.finished_at for letter in letters)
        assert group.last_seen == max(letter.finished_at for letter in letters)
        assert group.oldest_deadline == min(letter.deadline_at for letter in letters)
    assert found == {}


def test_letters_of_an_earlier_version_are_grouped_at_the_first_look(app: AppContext, undertaker: Undertaker) -> None:
    undertaker.end("a", "b", "c")
    before = dead_letters.groups(app)
    for key in ("groups", f"letters:{before[0].group}", f"deadlines:{before[0].group}"):
        undertaker.redis.delete(undertaker.ledger.prefix + key)
    for job in "abc":
        undertaker.redis.hdel(f"{undertaker.ledger.prefix}d:{undertaker.project}/{job}", "grp")
    assert BulkQueries(app.redis, "default").groups() == ([], 3)
    assert dead_letters.groups(app) == before
    assert BulkQueries(app.redis, "default").groups()[1] == 0


def test_a_letter_that_leaves_takes_its_empty_group_along(app: AppContext, undertaker: Undertaker) -> None:
    undertaker.end("a", "b")
    ref = Target(undertaker.project, "a")
    undertaker.ledger.discard([ref], why="T-1")
    assert [group.count for group in dead_letters.groups(app)] == [1]
    undertaker.ledger.restore([ref], why="T-1")
    assert [group.count for group in dead_letters.groups(app)] == [2]
    undertaker.ledger.replay([ref, Target(undertaker.project, "b")], why="T-1", deadline_s=60)
    assert dead_letters.groups(app) == []


def test_the_last_hour_counts_every_end_in_its_minute(client: redis.Redis) -> None:
    bench = Bench(client)
    bench.open()
    start = START_MS - START_MS % 60_000
    for minutes, to in ((0, "deleted"), (1, "dead"), (1, "gone"), (58, "deleted"), (70, "deleted")):
        bench.set_clock(start + minutes * 60_000)
        bench.request(f"{to}-{minutes}")
        bench.settle(bench.take(), to)
    bench.check_invariant()
    app = AppContext.load({"ERASER_REDIS_URL": "redis://127.0.0.1:1/0", "ERASER_REGION": "cn-north-4"})
    app.__dict__["redis"] = client
    hour = throughput.last_hour(app, start + 59 * 60_000)
    assert [(minute.well, minute.dead) for minute in hour.minutes[:3]] == [(1, 0), (1, 1), (0, 0)]
    assert (hour.well, hour.dead, hour.busiest.at) == (3, 1, start + 60_000)
    later = throughput.last_hour(app, start + 70 * 60_000)
    assert (later.well, later.dead) == (2, 0)
    assert later.minutes[-1].well == 1
    nothing = throughput.last_hour(app, start + 300 * 60_000)
    assert (len(nothing.minutes), nothing.well, nothing.dead) == (60, 0, 0)


def test_a_letter_that_is_restored_does_not_die_again(app: AppContext, undertaker: Undertaker) -> None:
    undertaker.end("a")
    ref = Target(undertaker.project, "a")
    undertaker.ledger.discard([ref], why="T-1")
    undertaker.ledger.restore([ref], why="T-1")
    assert throughput.last_hour(app, app.queries("default").now_ms()).dead == 1


def test_a_minute_is_forgotten_after_two_hours(client: redis.Redis) -> None:
    bench = Bench(client)
    bench.open()
    bench.request("a")
    bench.settle(bench.take(), State.DELETED)
    bench.pass_time(1)
    bench.turn()  # what was counted in a second is added up
    (key,) = client.scan_iter(f"{bench.p}ends:*")
    assert 3_600_000 < client.pttl(key) <= 7_200_000


def test_a_replay_that_was_begun_is_told_so_though_its_note_cannot_be_made(
    app: AppContext, undertaker: Undertaker
) -> None:
    undertaker.end("a")
    selection = dead_letters.choose(app, [], every=True)
    undertaker.redis.set(OURS.replays, "no hash")  # any error of Redis's
    found = dead_letter_actions.carry_out(app, Verb.REPLAY, selection, Approval(reason="T-1"))
    assert [(one.result, one.done) for one in found] == [(State.PENDING, True)]
