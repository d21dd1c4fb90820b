"""Where a project's deletions lie: in one account at a time, whatever the settings of each process say."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
import redis

from tests.support.ledgers import CLOCK, INDEXES, POLICY, START_MS, Bench
from worker.ledger.audit import AuditLog
from worker.ledger.connection import connect
from worker.ledger.deletions import Ledger
from worker.ledger.holds import HoldList
from worker.ledger.keys import OURS
from worker.ledger.places import Home, Places
from worker.ledger.project_moves import adopt_users, carry
from worker.ledger.types import DeletionRequest
from worker.model.errors import ProjectElsewhere, SettingsError
from worker.model.states import Lane
from worker.model.target import Target

P, Q = "p", "q"
UNTIL = START_MS + 9e9


class Process:
    """A process whose settings give each project to an account."""

    def __init__(self, client: redis.Redis, **owners: str) -> None:
        self.client, self.owners = client, owners
        client.set("test:clock", START_MS, nx=True)
        self.ledgers: dict[str, Ledger] = {}
        self.places = Places(client, self.account_of, self.ledger)

    def account_of(self, project: str) -> str:
        if project not in self.owners:
            raise SettingsError("ERASER_CONFIG", f"project {project} belongs to no account")
        return self.owners[project]

    def ledger(self, account: str) -> Ledger:
        if account not in self.ledgers:
            self.ledgers[account] = Ledger(
                self.client,
                account,
                POLICY,
                placer=lambda *place: self.places.claim(*place),
                clock=CLOCK,
                clocks=self.clocks,
                patience_s=0.2,
            )
        return self.ledgers[account]

    def clocks(self) -> tuple[float, ...]:
        return (float(self.client.get("test:clock") or 0) / 1000,)  # type: ignore[arg-type]

    def request(self, *jobs: str, project: str = P, **claim: Any) -> list[str]:
        accepted = self.ledger(self.account_of(project)).request(
            [Target(project, job) for job in jobs], DeletionRequest(**claim)
        )
        return [one.state for one in accepted]

    def hold(self, *jobs: str, account: str, project: str = P) -> None:
        HoldList(self.ledger(account)).add([Target(project, job) for job in jobs], why="T-1", by="ops-1")

    def move(self, project: str, to: str) -> bool:
        """The whole move, as the command does it."""
        source, target = self.ledger(self.places.begin_move(project, to)), self.ledger(to)
        adopt_users(source, target, project)
        action = {"act": "project.moved", "id": "m1"}
        for _ in carry(source, target, project, self.places.members(source.account, project), action):
            pass
        return self.places.end_move(project, source.account, to, 1_800_000_000_000)


def standing(client: redis.Redis, account: str) -> dict[str, str]:
    """Every deletion of an account, and the index it stands in."""
    found: dict[str, str] = {}
    for index in INDEXES:
        members: Any = client.zrange(OURS.account(account) + index, 0, -1)
        for member in members:
            assert member.decode() not in found, "in one index only"
            found[member.decode()] = index
    return found


# Who has it


def test_the_first_account_that_is_asked_has_the_project(client: redis.Redis) -> None:
    one = Process(client, p="a")
    assert one.request("1") == ["pending"]
    assert one.places.home(P) == Home("a")
    assert one.places.accounts() == {"a"}


def test_settings_that_name_another_account_begin_nothing(client: redis.Redis) -> None:
    old, new = Process(client, p="a"), Process(client, p="b")
    old.request("1")
    before = standing(client, "a")
    with pytest.raises(ProjectElsewhere) as refused:
        new.request("2")
    assert "eraser accounts move p --to b --reason R" in str(refused.value)
    assert refused.value.exit_code == 3
    assert (standing(client, "a"), standing(client, "b")) == (before, {})
    assert old.request("2") == ["pending"], "whose settings are right goes on"
    assert new.places.strays() == {P: Home("a")}
    assert old.places.strays() == {}


def test_a_hold_alone_keeps_its_project(client: redis.Redis) -> None:
    Process(client, p="a").hold("1", account="a")
    with pytest.raises(ProjectElsewhere):
        Process(client, p="b").request("1")


def test_where_nothing_is_left_another_account_may_have_it(client: redis.Redis) -> None:
    old, new = Process(client, p="a"), Process(client, p="b")
    old.request("1", delay_s=60)
    old.ledger("a").cancel([Target(P, "1")], why="T-1")
    with pytest.raises(ProjectElsewhere):
        new.request("1")
    old.ledger("a").forget(keep_s=0)
    assert new.places.strays() == {}, "nothing of it lies there"
    assert new.request("1") == ["pending"]
    assert new.places.home(P) == Home("b")
    with pytest.raises(ProjectElsewhere):
        old.request("1")


def test_one_that_asks_at_the_same_moment_keeps_it(client: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the look that finds nothing and the change of the register."""
    old, new = Process(client, p="a"), Process(client, p="b")
    old.hold("1", account="a")
    HoldList(old.ledger("a")).remove([Target(P, "1")])
    looks = new.places.holds_any

    def then_somebody_asks(account: str, project: str) -> bool:
        found = looks(account, project)
        if client.hget(OURS.account("a") + "projects", P) == b"leaving":
            old.request("late")
        return found

    monkeypatch.setattr(new.places, "holds_any", then_somebody_asks)
    with pytest.raises(ProjectElsewhere):
        new.request("2")
    assert standing(client, "a") == {"p/late": "due:bulk"}
    assert standing(client, "b") == {}
    assert old.request("later") == ["pending"]


def test_a_project_of_no_account_is_a_stray_and_takes_no_request(client: redis.Redis) -> None:
    Process(client, p="a").request("1")
    nobody = Process(client)
    assert nobody.places.strays() == {P: Home("a")}


# Holds of app users in accounts that come later


def test_an_account_that_is_used_later_has_the_holds_that_were_said_of_all(client: redis.Redis) -> None:
    one = Process(client, p="a", q="b")
    one.request("1")
    for user, every in (("u-every", True), ("u-a", False)):
        HoldList(one.ledger("a")).add_user(user, why="T-1", by="ops-1", every=every)
    one.request("1", project=Q)
    held = HoldList(one.ledger("b")).now().users
    assert held == {one.ledger("b").users.hashed("u-every")}


# Moving: on a real server only, which can hash


@pytest.fixture
def server(redis_url: str) -> redis.Redis:
    return connect(redis_url)


def bench(client: redis.Redis, account: str) -> Bench:
    made = Bench(client, account=account)
    made.open()
    return made


def furnish(client: redis.Redis) -> Process:
    """Account a with a deletion of project p in each state, and a bystander."""
    old = Process(client, p="a", q="a")
    old.request("0", project=Q, delay_s=60)
    old.places.claim(P, "a")
    house = bench(client, "a")
    house.request("dead", "deleted", "discarded", "gone")
    for job, to in (("dead", "dead"), ("deleted", "deleted"), ("discarded", "dead"), ("gone", "gone")):
        lease = house.take()
        house.settle(lease, to, status=500 if to == "dead" else 200, cause="server_error" if to == "dead" else None)
        assert lease.ref.id == job
    house.ledger.discard([Target(P, "discarded")], why="T-1")
    house.request("cancelled", "held", "grace", delay_s=60)
    house.ledger.cancel([Target(P, "cancelled")], why="T-1")
    house.request("due", lane=Lane.USER)
    house.holds.add([Target(P, "held"), Target(P, "not-asked-for")], why="T-2", by="ops-1", until_ms=UNTIL)
    house.holds.add_user("u-1", why="T-3", by="ops-1")
    house.ledger.users.note_in(P)
    house.check_invariant()
    return old


STATES = {
    "p/dead": "dead",
    "p/deleted": "deleted",
    "p/discarded": "discarded",
    "p/gone": "gone",
    "p/cancelled": "cancelled",
    "p/held": "held",
    "p/grace": "due:bulk",
    "p/due": "due:user",
}


def records(client: redis.Redis, account: str) -> dict[str, dict[bytes, bytes]]:
    prefix = OURS.account(account) + "d:"
    left_behind = {b"log", b"dn", b"grp"}
    found: dict[str, dict[bytes, bytes]] = {}
    for key in client.scan_iter(prefix + "p/*"):
        raw: Any = client.hgetall(key)
        found[key.decode().removeprefix(prefix)] = {
            name: value for name, value in raw.items() if name not in left_behind
        }
    return found


def test_a_move_carries_everything_and_leaves_the_bystanders(server: redis.Redis) -> None:
    old = furnish(server)
    before, scores = (
        records(server, "a"),
        {ref: server.zscore(OURS.account("a") + index, ref) for ref, index in STATES.items()},
    )
    receipts = server.xlen(OURS.account("a") + "receipts")
    new = Process(server, p="b", q="a")
    assert new.move(P, "b")
    assert standing(server, "b") == STATES
    assert standing(server, "a") == {"q/0": "due:bulk"}
    assert records(server, "b") == before
    assert {ref: server.zscore(OURS.account("b") + index, ref) for ref, index in STATES.items()} == scores
    held = {hold.ref: (hold.reason, hold.until) for hold in HoldList(new.ledger("b")).each()}
    assert held == {Target(P, "held"): ("T-2", UNTIL), Target(P, "not-asked-for"): ("T-2", UNTIL), None: ("T-3", None)}
    assert {hold.ref for hold in HoldList(new.ledger("a")).each()} == {None}, "an app user is on hold in both"
    assert new.ledger("b").users.known_in(P)
    assert server.xlen(OURS.account("a") + "receipts") == receipts, "its chain stays whole"
    for account in ("a", "b"):
        bench(server, account).check_invariant()
        newest = next(AuditLog(server, account).newest())
        assert (newest.action, newest.results) == ("project.moved", {"moved": len(STATES) + 1})
    assert new.places.home(P) == Home("b")
    assert new.places.past(P) == [("a", 1_800_000_000_000)]
    assert new.request("after") == ["pending"]
    with pytest.raises(ProjectElsewhere):
        old.request("after")


def test_the_history_says_that_it_moved(server: redis.Redis) -> None:
    furnish(server)
    Process(server, p="b", q="a").move(P, "b")
    log: Any = server.hget(OURS.account("b") + "d:p/dead", "log")
    last = json.loads(log.decode().splitlines()[-1].split(" ", 2)[2])
    assert last == {"event": "deletion.moved", "from": "a"}
    assert server.hget(OURS.account("b") + "counters", "deletion.moved in") == str(len(STATES)).encode()
    assert server.hget(OURS.account("a") + "counters", "deletion.moved out") == str(len(STATES)).encode()


def test_while_it_is_moved_nothing_begins_in_either_account(server: redis.Redis) -> None:
    old, new = furnish(server), Process(server, p="b", q="a")
    new.places.begin_move(P, "b")
    for process in (old, new):
        with pytest.raises(ProjectElsewhere, match="being moved from a to b"):
            process.request("x")
        with pytest.raises(ProjectElsewhere, match="being moved"):
            process.hold("x", account="a")
    with pytest.raises(ProjectElsewhere):
        old.ledger("a").replay([Target(P, "dead")], why="T-1", deadline_s=60)
    assert old.request("1", project=Q) == ["pending"], "another project of the account goes on"


class Killed(BaseException):
    """The process is gone."""


class Doomed(redis.Redis):
    """Dies before or after the nth script of its own."""

    left = 0
    after = False

    def evalsha(self, *args: Any) -> Any:
        self.left -= 1
        if self.left < 0 and not self.after:
            raise Killed
        response = super().evalsha(*args)
        if self.left < 0:
            raise Killed
        return response


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_move_that_is_killed_at_any_script_is_ended_by_the_next_one(redis_url: str, after: bool) -> None:
    for scripts_done in itertools.count():
        client = connect(redis_url)
        client.flushall()
        furnish(client)
        doomed = Doomed.from_url(redis_url)
        doomed.left, doomed.after = scripts_done, after
        try:
            done = Process(doomed, p="b", q="a").move(P, "b")
        except Killed:
            done = False
        here, there = standing(client, "a"), standing(client, "b")
        assert STATES.items() <= (here | there).items(), "each is in one of the two at any moment"
        marks = [client.hget(OURS.account(account) + "projects", P) for account in ("a", "b")]
        assert marks.count(b"here") <= 1
        if b"here" in marks and not done:
            assert here.keys() & STATES.keys() == set() or marks[0] == b"here", "where it may be taken it is whole"
        new = Process(client, p="b", q="a")
        if new.places.home(P) != Home("b"):
            assert new.move(P, "b")
        assert (standing(client, "a"), standing(client, "b")) == ({"q/0": "due:bulk"}, STATES)
        assert client.hget(OURS.account("a") + "projects", P) == b"moved"
        assert client.hget(OURS.account("b") + "projects", P) == b"here"
        assert new.places.past(P) == [("a", 1_800_000_000_000)]
        if done:
            assert scripts_done > 5
            return


def test_nothing_of_it_is_taken_before_all_of_it_is_there(server: redis.Redis) -> None:
    """In neither account, whatever is due first; and another project is taken at once."""
    furnish(server)
    new = Process(server, p="b", q="a")
    house = bench(server, "a")
    new.places.begin_move(P, "b")
    new.request("now", project=Q)
    assert house.take().ref == Target(Q, "now")
    assert house.turn().lease is None
    assert new.places.end_move(P, "a", "b", 0) is False
    assert new.move(P, "b")
    house = bench(server, "b")
    house.pass_time(61)
    assert house.take().ref.project_id == P


def test_what_the_settings_give_to_another_account_delays_nobody(client: redis.Redis) -> None:
    house = bench(client, "a")
    house.request(*(f"job-{n:03d}" for n in range(250)))
    house.ledger.request([Target(Q, "1")], DeletionRequest())
    house.ledger.strays.add(P)
    for _ in range(3):
        if turn := house.turn().lease:
            break
        house.pass_time(0.2)
    assert turn is not None
    assert turn.ref == Target(Q, "1"), "behind all that waits for the move"
    house.settle(turn)
    house.ledger.strays.clear()
    house.pass_time(61)
    assert house.take().ref == Target(P, "job-000"), "in its order"


def test_what_one_worker_does_not_know_is_left_to_those_who_do(client: redis.Redis) -> None:
    """Settings change from worker to worker: the old one comes as often as the new one, and always first."""
    house = bench(client, "a")
    old, new = house.ledger, bench(client, "a").ledger
    old.strays.add(P)
    house.request(*(f"job-{n:02d}" for n in range(40)))
    waited = 0.0
    for _ in range(200):
        assert old.take(worker="w-old", key="k1", policy_text=None, settlement=None).lease is None
        lease = new.take(worker="w-new", key="k1", policy_text=None, settlement=None).lease
        if lease:
            house.settle(lease)
        if not house.client.zcard(house.p + "due:bulk"):
            break
        house.pass_time(0.5)
        waited += 0.5
    assert house.client.zcard(house.p + "deleted") == 40
    assert waited < 60, "no deletion waits for a minute and another one"


def test_what_had_to_wait_for_the_move_is_due_after_it(server: redis.Redis) -> None:
    """Each look of the old account put it off by a minute. A grace is not cut short."""
    before, now = Process(server, p="a"), Process(server, p="b")
    before.request("due")
    before.request("later", delay_s=3600)
    house = bench(server, "a")
    house.ledger.strays.add(P)
    assert house.turn().lease is None
    house.pass_time(6)  # nobody else serves it
    assert house.turn().lease is None
    house.ledger.strays.clear()
    assert now.move(P, "b")
    scores = {
        member: at - START_MS for member, at in server.zrange(OURS.account("b") + "due:bulk", 0, -1, withscores=True)
    }
    assert scores == {b"p/due": 6_000.0, b"p/later": 3_600_000.0}


def test_what_changed_meanwhile_is_carried_again(server: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """A late answer to a call that was given up, say."""
    furnish(server)
    new = Process(server, p="b", q="a")
    source, target = new.ledger(new.places.begin_move(P, "b")), new.ledger("b")
    depart = source.run_script

    def change_first(name: str, *args: Any, **more: Any) -> Any:
        if name == "depart":
            server.hset(OURS.account("a") + "d:p/grace", "why", "changed")
        return depart(name, *args, **more)

    monkeypatch.setattr(source, "run_script", change_first)
    list(carry(source, target, P, new.places.members("a", P), {"act": "project.moved", "id": "m1"}))
    assert set(standing(server, "a")) == {"p/grace", "q/0"}
    assert not new.places.end_move(P, "a", "b", 0)
    assert new.move(P, "b")
    assert server.hget(OURS.account("b") + "d:p/grace", "why") == b"changed"


def test_a_call_under_way_is_waited_for(server: redis.Redis) -> None:
    old = Process(server, p="a")
    old.places.claim(P, "a")
    house = bench(server, "a")
    house.request("1")
    lease = house.take()
    new = Process(server, p="b")
    assert not new.move(P, "b")
    assert standing(server, "a") == {"p/1": "running"}
    assert house.settle(lease) == "deleted"
    assert new.move(P, "b")
    assert standing(server, "b") == {"p/1": "deleted"}


def test_it_may_come_back(server: redis.Redis) -> None:
    furnish(server)
    assert Process(server, p="b", q="a").move(P, "b")
    again = Process(server, p="a", q="a")
    assert again.move(P, "a")
    assert standing(server, "a") == STATES | {"q/0": "due:bulk"}
    assert again.request("x") == ["pending"]
    assert [account for account, _ in again.places.past(P)] == ["a", "b"]
