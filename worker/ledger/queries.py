"""The read model: what people see of the ledger. It changes nothing, and the hot path does not know it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

import redis

from worker.config.clock import PROCESS, Clocks, spoken
from worker.ledger import bindings, scripts, values
from worker.ledger.archived import ArchivedRecords, counts
from worker.ledger.bulk_queries import BulkQueries
from worker.ledger.erasures import ErasureRecord
from worker.ledger.keys import OURS, Keys
from worker.ledger.records import DELETION, AccountStatus, Attempt, Closure, Deletion, Event, Gate, quotas
from worker.ledger.redis_read import AccountReader, read_redis
from worker.ledger.schema.erasure import ErasureField
from worker.ledger.schema.fields import Field
from worker.ledger.schema.keys import Key
from worker.ledger.schema.states import indexes, indexes_of, queues_of
from worker.ledger.types import compact
from worker.model.shares import batches
from worker.model.states import State, WaitingFor
from worker.model.target import JOB, Target

_PAGE = 500
START_SHARE = 0.985  # as in lua/_gate.lua
SKEW_SHOWN_MS = 60_000.0  # less is not shown; calls are signed with it all the same
_WEIGHT = ("key", "account", "family", "project")  # of closures: which one an account's gate names
_ROW = (*DELETION.stored, Field.STATE, Field.WAITING_FOR, Field.OUTCOME_UNKNOWN, Field.CLAIMS)


class Queries(AccountReader):
    """Reads one account's ledger. Raises `Unreachable` when Redis does not answer."""

    def __init__(
        self,
        client: redis.Redis,
        account: str,
        keys: Keys = OURS,
        *,
        rate: float,
        projects: Sequence[str] = (),
        clocks: Clocks = PROCESS.witnesses,
    ) -> None:
        super().__init__(client, account, keys)
        self._rate, self._projects = rate, projects
        self._clocks = clocks

    def now_ms(self) -> float:
        """The ledger's time: Redis's clock, as long as that did not jump (see `lua/_clock.lua`)."""
        clocks = spoken(self._clocks())
        return float(read_redis(scripts.load("what_time").run, self._client, self._p, "-", clocks))

    def show(self, ref: Target) -> Deletion | None:
        """One deletion with its whole history."""
        found = next(self._read([ref], history=True), None)
        return replace(found, whole=self.erasure(ref)) if found else self._archived(ref)

    def _archived(self, ref: Target) -> Deletion | None:
        """What is left of it here; its deadline is not known then: 0."""
        mark = ArchivedRecords(self._client, self.account, self._keys).of(ref)
        if mark is None:
            return None
        found: dict[str, str] = {
            Field.STATE: mark.state,
            Field.REQUESTED_AT: str(mark.requested_at),
            Field.FINISHED_AT: str(mark.finished_at),
            Field.ROUND: str(mark.round),
        }
        return replace(self._deletion(ref, found, None, self.gate(), 0.0, history=False), archived=mark)

    def erasure(self, ref: Target) -> ErasureRecord | None:
        """What a job leaves behind, as far as it is known; None: nobody looks."""
        fields = values.texts(read_redis(partial(self._client.hgetall, f"{self._p}{Key.ERASURE}{ref}")))
        return ErasureRecord.read(ref, fields) if fields else None

    def status(self) -> AccountStatus:
        """Counts, what is due and the gate, in one round trip."""
        now = self.now_ms()
        pipe = self._client.pipeline(transaction=False)
        pipe.hgetall(self._p + Key.GATE)
        pipe.hgetall(self._p + Key.CLOSURES)
        names, queues = indexes(), indexes_of(State.PENDING)
        for name in names:
            pipe.zcard(self._p + name)
        for queue in queues:
            pipe.zcount(self._p + queue, "-inf", now)
            pipe.zrangebyscore(self._p + queue, 0, "(+inf", start=0, num=1, withscores=True)
        for name in (Key.HELD_JOBS, Key.HELD_USERS):
            pipe.hlen(self._p + name)
        pipe.hlen(self._p + Key.DAMAGED)
        pipe.zcard(self._p + Key.CAME_BACK)
        pipe.hgetall(self._p + Key.PARTS)
        pipe.hgetall(self._p + Key.VERDICTS)
        pipe.hgetall(self._p + Key.ARCHIVED)
        pipe.hmget(self._p + bindings.KEY, bindings.FIELDS)
        raw, closed, *response, held_jobs, held_users, damaged, back, parts, verdicts, left, bound = read_redis(
            pipe.execute
        )
        apart = {name: max(0, values.whole(many)) for name, many in values.texts(parts).items()}
        cards = dict(zip(names, response[: len(names)], strict=True))
        due: dict[str, int] = {"user": 0, "bulk": 0}
        heads: dict[str, float] = {}
        for queue, number, head in zip(queues, response[len(names) :: 2], response[len(names) + 1 :: 2], strict=True):
            lane = queue.split(":")[1]
            due[lane] += number
            if head:
                heads[lane] = min(heads.get(lane, math.inf), head[0][1])
        oldest = min(heads.values(), default=None)
        archived = sum(counts(left).values(), Counter[State]())
        states = {
            state: max(0, cards.get(state.value, 0) + archived[state] - apart.get(state.value, 0)) for state in State
        }
        states[State.PENDING] = sum(cards[queue] for queue in queues_of(JOB))
        return AccountStatus(
            gate=self._gate(raw, closed, now),
            states=states,
            erasures={name: n for name, many in values.texts(verdicts).items() if (n := values.whole(many)) > 0},
            parts={state: apart.get(state.value, 0) for state in State if apart.get(state.value)},
            oldest_due_s=(now - oldest) / 1000 if oldest is not None and oldest <= now else None,
            due=due,
            oldest_due_by_lane={lane: (now - head) / 1000 for lane, head in heads.items() if head <= now},
            next_due_at=oldest if oldest is not None and oldest > now else None,
            holds=held_jobs + held_users,
            bound=bindings.binding(bound),
            damaged=damaged,
            archived=archived.total(),
            came_back=len(BulkQueries(self._client, self.account, self._keys).came_back()) if back else 0,
        )

    def gate(self) -> Gate:
        """The gate alone."""
        pipe = self._client.pipeline(transaction=False)
        pipe.hgetall(self._p + Key.GATE)
        pipe.hgetall(self._p + Key.CLOSURES)
        raw, closed = read_redis(pipe.execute)
        return self._gate(raw, closed, self.now_ms())

    def each(self, state: State, *, newest_first: bool = True, history: bool = False) -> Iterator[Deletion]:
        """Every deletion in a state, by time. One that moves on meanwhile is left out."""
        for refs in self._pages(state, newest_first):
            yield from (d for d in self._read(refs, history=history) if d.state is state)

    def rows(self, due: Mapping[Target, float]) -> Iterator[Deletion]:
        """What fits a line of each, for a list of up to 500: of `whole` only the verdict. due: their scores."""
        gate, now = self.gate(), self.now_ms()
        response = read_redis(scripts.load("read_fields").run, self._client, self._p, compact(_ROW), *map(str, due))
        verdicts = self._verdicts(due)
        for (ref, at), found in zip(due.items(), values.loaded(response), strict=True):
            fields = {name: value for name, value in zip(_ROW, found, strict=True) if value is not False}
            if _is_sound(fields):
                waits = fields[Field.STATE] in (State.PENDING, State.HELD)
                one = self._deletion(ref, fields, at if waits else None, gate, now, history=False)
                yield replace(one, whole=verdicts.get(ref))

    def _verdicts(self, refs: Iterable[Target]) -> dict[Target, ErasureRecord]:
        jobs = [ref for ref in refs if ref.kind == JOB]
        pipe = self._client.pipeline(transaction=False)
        for ref in jobs:
            pipe.hget(f"{self._p}{Key.ERASURE}{ref}", ErasureField.VERDICT)
        found = dict(zip(jobs, read_redis(pipe.execute), strict=True))
        return {
            ref: ErasureRecord.read(ref, {ErasureField.VERDICT: word.decode(errors="replace")})
            for ref, word in found.items()
            if word is not None
        }

    # -- how it is read ----------------------------------------------------------------------------------------------

    def _pages(self, state: State, newest_first: bool) -> Iterator[list[Target]]:
        for index in indexes_of(state):
            # members first, records later: paging by rank over a moving index would skip some
            members = read_redis(partial(self._client.zrange, self._p + index, 0, -1, desc=newest_first))
            yield from map(values.targets, batches(members, _PAGE))

    def _read(self, refs: list[Target], *, history: bool) -> Iterator[Deletion]:
        gate = self.gate()
        now = self.now_ms()
        pipe = self._client.pipeline(transaction=False)
        for ref in refs:
            pipe.hgetall(f"{self._p}{Key.RECORD}{ref}")
            for index in (*queues_of(ref.kind), Key.HELD):
                pipe.zscore(self._p + index, str(ref))
        response = read_redis(pipe.execute)
        for i, ref in enumerate(refs):
            fields = values.texts(response[4 * i])
            if _is_sound(fields):
                due = next((score for score in response[4 * i + 1 : 4 * i + 4] if score is not None), None)
                yield self._deletion(ref, fields, due, gate, now, history=history)

    def _deletion(
        self, ref: Target, fields: dict[str, str], due: float | None, gate: Gate, now: float, *, history: bool
    ) -> Deletion:
        state = State(fields[Field.STATE])
        lines = "\n".join(fields.get(name, "") for name in (Field.PAST_HISTORY, Field.HISTORY))
        attempts, events = _history(lines) if history else ((), ())
        closed = gate.closes(ref)
        return DELETION.read(
            fields,
            ref=ref,
            account=self.account,
            state=state,
            waiting_for=_waiting_for(fields, due, gate, now, closed=closed) if state is State.PENDING else None,
            claims=tuple(values.entries(fields.get(Field.CLAIMS))[1:]),
            due_at=due,
            may_be_deleted=fields.get(Field.OUTCOME_UNKNOWN) == "1" and state not in (State.DELETED, State.GONE),
            cancel_wanted=Field.CANCEL_REQUESTED in fields,
            attempts=attempts,
            events=events,
        )

    def _gate(self, raw: dict[bytes, bytes], closed: dict[bytes, bytes], now: float) -> Gate:
        g = values.texts(raw)
        number = partial(_number, g)
        rate = self._rate * (number("share") or START_SHARE) / (number("slow") or 1.0)
        closures = tuple(self._closures(g, closed, now))
        shut = [one for one in closures if one.scope in ("key", "account")] or self._all_of(closures)
        skew = number("skew")
        gate = Gate(self.account, "ok", None, None, round(rate, 3), None, skew, closures, quotas(g))
        if shut:
            why = shut[0]
            return replace(gate, gate=why.cause, since=why.since, until=why.until, reason=why.reason)
        if skew is not None and abs(skew) > SKEW_SHOWN_MS:
            minutes = abs(skew) / 60_000
            way = "ahead of" if skew > 0 else "behind"
            message = f"MetaStudio's clock is {minutes:.1f} min {way} ours; calls are signed with its clock"
            return replace(gate, gate="clock", since=number("skew_at"), reason=message)
        return gate

    def _closures(self, g: dict[str, str], closed: dict[bytes, bytes], now: float) -> Iterator[Closure]:
        """What weighs most first."""
        number = partial(_number, g)
        if "paused" in g:
            by = g.get("paused_by") or None
            reason = g["paused"] + (f" (by {by})" if by else "")
            yield Closure("account", self.account, "paused", number("paused_at"), None, None, by, reason)
        found = [(*full.partition(" ")[::2], values.fields(entry)) for full, entry in values.texts(closed).items()]
        messages = [one for one in found if one[0] in _WEIGHT and one[2].get("cause") and not one[2].get("quiet")]
        for scope, name, entry in sorted(messages, key=lambda one: (_WEIGHT.index(one[0]), one[1])):
            since, until = values.number(entry.get("since")), values.number(entry.get("until"))
            facts = (entry.get(fact) for fact in ("target", "by", "why", "project"))
            yield Closure(scope, name or self.account, entry["cause"], since, until, *facts)
        throttled = number("throttled_until") or 0
        if throttled > now:
            why = "MetaStudio answered 429: slowed down"
            yield Closure("account", self.account, "throttled", number("throttled_at"), throttled, None, None, why)

    def _all_of(self, closures: tuple[Closure, ...]) -> list[Closure]:
        """The closures of the account's own projects, where they are all closed: then the account is."""
        mine = [one for one in closures if one.name in self._projects]
        return mine if mine and len(mine) == len(self._projects) else []


def _number(g: dict[str, str], name: str) -> float | None:
    return values.number(g.get(name))


def _waiting_for(fields: dict[str, str], due: float | None, gate: Gate, now: float, *, closed: bool) -> WaitingFor:
    own = WaitingFor(word) if (word := fields.get(Field.WAITING_FOR)) in tuple(WaitingFor) else WaitingFor.TURN
    if due is not None and due > now:
        return own
    if closed and gate.is_open:
        return WaitingFor.MISCONFIGURED
    if gate.gate in ("ok", "clock"):
        return WaitingFor.TURN
    return WaitingFor(gate.gate) if gate.gate in tuple(WaitingFor) else WaitingFor.OUTAGE


def _is_sound(fields: Mapping[str, str]) -> bool:
    """Whether it can be shown. What cannot is put aside by the moves, and listed as damaged."""
    return fields.get(Field.STATE) in tuple(State) and all(
        values.number(fields.get(name)) is not None for name in (Field.REQUESTED_AT, Field.DEADLINE)
    )


def _history(log: str) -> tuple[tuple[Attempt, ...], tuple[Event, ...]]:
    attempts, events = [], []
    for line in log.split("\n"):
        match line.split(" ", 4):
            case ["A", round_, n, at, answer]:
                attempts.append(
                    Attempt(values.whole(n), values.whole(round_), values.number(at) or 0, values.fields(answer))
                )
            case ["E", at, *rest]:
                fields = values.fields(" ".join(rest))
                events.append(Event(values.number(at) or 0, str(fields.pop("event", "?")), fields))
    return tuple(attempts), tuple(events)
