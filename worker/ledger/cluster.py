"""A Redis Cluster as one client: each command goes, once, to the primary that has its key's slot.

    MOVED            the slot lies elsewhere: nothing was done, and the same is sent there
    ASK, TRYAGAIN    the slot is being moved: nothing was done. An outage of the accounts in it, and of no others
    no connection    an outage of that server's slots; who has them now is asked anew, twice a second at most

redis-py's own client follows ASK. A script names all keys of its account by their beginning, so it would run at the new
server without the keys that are still at the old one. Its pipelines fail as a whole where one server is away.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import redis
from redis import exceptions
from redis.client import Pipeline
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot

from worker.config.forks import when_forked
from worker.ledger.redis_errors import is_away

HOPS = 5  # a slot that moved is followed so often
ASK_S = 0.5  # how long an answer about the slots is believed once a server was away
TROUBLE_S = 5.0  # after an answer that did not come: whoever acts for many accounts looks first whose server is there
SILENT_S = 5.0  # a server that hung, and was not refused at once, is left alone for so long

T = TypeVar("T")
Address = tuple[str, int]
Command = tuple[tuple[Any, ...], dict[str, Any]]


class Cluster(redis.Redis):
    """Whoever has a client has the cluster: pipelines may be of many accounts, a transaction is of one slot.

    seeds: some of its servers. connect: a client of one server, without hidden retries. Thread-safe.
    """

    def __init__(self, seeds: Sequence[Address], connect: Callable[[str, int], Any]) -> None:
        super().__init__()  # its own pool is never used
        self._seeds, self._connect = [*seeds], connect
        self._owners: list[Address | None] = []  # of each slot; empty: nobody was asked yet
        self._clients: dict[Address, Any] = {}
        self._silent: dict[Address, float] = {}  # until when
        self._ask_at, self._stale, self._trouble = 0.0, True, 0.0
        self._new_lock()
        when_forked(self._new_lock)

    def _new_lock(self) -> None:
        self._lock = threading.Lock()

    @property
    def is_whole(self) -> bool:
        """Whether nothing was refused or left unanswered for some seconds."""
        return time.monotonic() >= self._trouble

    def of(self, key: str) -> redis.Redis:
        """The server that has this key's slot, for what has no key: INFO, CONFIG GET, SCAN."""
        found: redis.Redis = self._client(self._owner(_slot(key)))
        return found

    def primaries(self) -> list[redis.Redis]:
        """Every server that has slots."""
        self._owner(0, absent_ok=True)
        return [self._client(one) for one in sorted({one for one in self._owners if one})]

    @property
    def unserved(self) -> int:
        """How many slots no server has."""
        return self._owners.count(None)

    def close(self) -> None:
        for client in [*getattr(self, "_clients", {}).values()]:
            client.close()

    # -- commands ------------------------------------------------------------------------------------------------------

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """Raises redis-py's errors."""
        if args[0] == "PING":
            return self._ask(lambda client: client.execute_command(*args, **options))
        (found,) = self.execute_each([(args, options)])
        if isinstance(found, Exception):
            raise found
        return found

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Pipeline:  # noqa: ARG002
        return _Pipeline(self, transaction)

    def execute_each(self, commands: Sequence[Command], *, transaction: bool = False) -> list[Any]:
        """What each of them is answered, or its error. One without a key goes where the one beside it goes."""
        found: list[Any] = [None] * len(commands)
        left = _together(commands, transaction=transaction)
        for _ in range(HOPS):
            at: dict[Address, list[list[int]]] = {}
            for slot, numbers in left:
                try:
                    at.setdefault(self._owner(slot), []).append(numbers)
                except redis.RedisError as error:
                    self._fill(found, numbers, [error] * len(numbers))
            moved: set[int] = set()
            for where, units in at.items():
                numbers = [n for unit in units for n in unit]
                answers = self._send(where, [commands[n] for n in numbers], transaction=transaction)
                self._fill(found, numbers, answers)
                moved |= {n for n, one in zip(numbers, answers, strict=True) if self._has_moved(one, where)}
            left = [(slot, numbers) for slot, numbers in left if moved.intersection(numbers)]
            if not left:
                break
        return found

    @staticmethod
    def _fill(found: list[Any], numbers: Sequence[int], answers: Sequence[Any]) -> None:
        for n, answer in zip(numbers, answers, strict=True):
            found[n] = answer

    def _send(self, where: Address, commands: Sequence[Command], *, transaction: bool) -> list[Any]:
        client = self._client(where)
        try:
            if len(commands) == 1 and not transaction:
                ((args, options),) = commands
                return [client.execute_command(*args, **options)]
            pipe = client.pipeline(transaction=transaction)
            for args, options in commands:
                pipe.execute_command(*args, **options)
            answers: list[Any] = pipe.execute(raise_on_error=False)
        except redis.RedisError as error:
            answers = [error] * len(commands)
        for answer in answers:
            self._note(where, answer)
        return answers

    def _note(self, where: Address, answer: Any) -> None:
        """Whoever is away may have lost its slots to another one."""
        if not isinstance(answer, redis.RedisError) or not is_away(answer):
            return
        self._stale, self._trouble = True, time.monotonic() + TROUBLE_S
        if isinstance(answer, exceptions.TimeoutError):
            self._silent[where] = time.monotonic() + SILENT_S

    def _has_moved(self, answer: Any, where: Address) -> bool:
        if not isinstance(answer, exceptions.MovedError):
            return False
        self._owners[answer.slot_id] = (answer.host or where[0], answer.port)
        return True

    # -- who has which slot --------------------------------------------------------------------------------------------

    def _owner(self, slot: int, *, absent_ok: bool = False) -> Address:
        if self._stale and time.monotonic() >= self._ask_at:
            with self._lock:
                if self._stale and time.monotonic() >= self._ask_at:
                    self._learn()
        where = self._owners[slot] if self._owners else None
        if absent_ok:
            return where or self._seeds[0]
        if where is None:
            self._stale = True
            raise exceptions.ClusterDownError("CLUSTERDOWN no server has this slot")
        if self._silent.get(where, 0.0) > time.monotonic():
            self._stale = True  # another one may have taken its place by now
            raise exceptions.TimeoutError(f"{where[0]}:{where[1]} did not answer a moment ago")
        return where

    def _learn(self) -> None:
        """Ask any server who has which slots."""
        try:
            slots = self._ask(_owners)
        except redis.RedisError:
            if not self._owners:
                raise
        else:
            self._owners, self._stale = slots, False
        finally:
            self._ask_at = time.monotonic() + ASK_S

    def _ask(self, question: Callable[[Any], T]) -> T:
        """The first server that answers, of those that did not hang first. Raises the last one's error."""
        every = dict.fromkeys([*(one for one in self._owners if one), *self._seeds])
        error: redis.RedisError = exceptions.ConnectionError("no server is known")
        for where in sorted(every, key=lambda one: self._silent.get(one, 0.0)):
            try:
                return question(self._client(where))
            except redis.RedisError as why:
                error = why
                self._note(where, why)
        raise error

    def _client(self, where: Address) -> Any:
        if (known := self._clients.get(where)) is None:
            known = self._clients.setdefault(where, self._connect(*where))
        return known


class _Pipeline(Pipeline):
    """Commands for servers that are found only when they are sent."""

    def __init__(self, cluster: Cluster, transaction: bool) -> None:
        super().__init__(cluster.connection_pool, cluster.response_callbacks, transaction, None)
        self._cluster, self._at_once = cluster, transaction

    def execute(self, raise_on_error: bool = True) -> list[Any]:
        commands, self.command_stack = self.command_stack, []
        found = self._cluster.execute_each(commands, transaction=self._at_once)
        for one in found if raise_on_error else ():
            if isinstance(one, Exception):
                raise one
        return found


def _owners(client: Any) -> list[Address | None]:
    """Who has each slot, as one server says."""
    owners: list[Address | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
    slots = client.execute_command("CLUSTER SLOTS")
    own = client.connection_pool.connection_kwargs["host"]
    for start, end, (host, port, *_), *_ in slots:
        name = host.decode() if host else ""
        owners[start : end + 1] = [(own if name in ("", "?") else name, port)] * (end + 1 - start)
    return owners


def _together(commands: Sequence[Command], *, transaction: bool) -> list[tuple[int, list[int]]]:
    """(slot, numbers) of what has to be sent together: a command and those without a key beside it, or all of them."""
    units: list[tuple[int, list[int]]] = []
    first: list[int] = []  # without a key, before the first that has one
    for n, (args, _) in enumerate(commands):
        key = _key(args)
        if key is not None and not (transaction and units):
            units.append((_slot(key), [*first, n]))
            first = []
        elif units and (key is None or units[0][0] == _slot(key)):
            units[-1][1].append(n)
        elif key is None:
            first.append(n)
        else:
            raise ValueError(f"{args[0]}: a transaction is of one slot")
    if first:
        raise ValueError(f"{commands[first[0]][0][0]}: it has no key that says which server is meant")
    return units


def _key(args: tuple[Any, ...]) -> Any:
    """The first key of a command that the ledger sends; None: it has none."""
    name = args[0]
    if name in ("EVAL", "EVALSHA", "FCALL"):
        return args[3] if int(args[2]) else None
    return args[1] if len(args) > 1 and name not in ("WAIT", "WAITAOF", "INFO", "CONFIG GET", "SCAN") else None


def _slot(key: Any) -> int:
    return key_slot(key if isinstance(key, bytes) else str(key).encode())
