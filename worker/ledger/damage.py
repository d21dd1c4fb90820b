"""What somebody else damaged in an account's ledger: it was put aside by the moves that met it (see `lua/_damage.lua`).

Records that no index has, and indexes whose records are missing, are met by no move: `Checker` looks for them.
"""

from __future__ import annotations

import json
import logging
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Unpack

import redis

from worker.ledger.audit_actions import ActionName, Who, explained
from worker.ledger.connection import servers_of
from worker.ledger.deletions import BATCH, Ledger
from worker.ledger.keys import OURS, Keys
from worker.ledger.redis_read import AccountReader, read_redis
from worker.ledger.schema.keys import Key
from worker.ledger.schema.states import indexes
from worker.model.target import Target

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Damaged:
    """One thing that was put aside. `at` in ms since 1970, Redis's clock."""

    account: str
    name: str  # a deletion's `project/job`, or the name of a key, and perhaps of its field
    why: str
    at: float
    response: str | None = None  # what MetaStudio's answer to a call under way made of it

    @property
    def ref(self) -> Target | None:
        """The deletion, if it is one."""
        return Target.parse(self.name) if re.fullmatch(r"[\w-]+/(\w+:)?[\w-]+", self.name) else None

    def as_json(self) -> dict[str, Any]:
        ref = self.ref
        job = {"project_id": ref.project_id, **ref.as_json()} if ref else dict.fromkeys(("project_id", "kind", "id"))
        return {"account": self.account, "name": self.name, **job, "why": self.why, "answer": self.response}


class DamageList(AccountReader):
    """Reads one account's list. Raises `Unreachable` when Redis does not answer."""

    def each(self) -> list[Damaged]:
        """Everything that nobody has looked at yet, the oldest first."""
        try:
            raw: Any = read_redis(self._client.hgetall, self._p + Key.DAMAGED)
        except redis.ResponseError:
            return [Damaged(self.account, "damaged", "this list itself has the wrong type", 0.0)]
        found = [_damaged(self.account, name.decode(errors="replace"), text) for name, text in raw.items()]
        return sorted(found, key=lambda one: (one.at, one.name))

    def of(self, ref: Target) -> Damaged | None:
        """Whether a deletion was put aside."""
        return next((one for one in self.each() if one.name == str(ref)), None)


def _damaged(account: str, name: str, raw: bytes) -> Damaged:
    try:
        fields = json.loads(raw)
        return Damaged(account, name, str(fields["why"]), float(fields["at"]), fields.get("answer"))
    except (ValueError, KeyError, TypeError):
        return Damaged(account, name, "its details cannot be read", 0.0)


def drop(ledger: Ledger, names: Iterable[str], **who: Unpack[Who]) -> list[tuple[str, str]]:
    """Give up what was put aside under these names: `dropped` or `unknown` for each."""
    return ledger.results("undamage", explained(ActionName.DAMAGE_DROPPED, who), names)


def check(ledger: Ledger, names: Iterable[Target | bytes] = (), *, keys: bool = False) -> None:
    """Put right or aside what does not fit together: of these deletions; with `keys`, of the account's own keys."""
    options = {"lease": ledger.policy.lease}
    for _ in ledger.in_batches("check", options, names):
        pass
    if keys:  # after what was put aside: a replay may have waited for nothing else
        ledger.run_script("check", options | {"keys": True})


def clear_hints(client: redis.Redis, keys: Keys) -> None:
    """What is outside the ledgers and no truth comes again by itself: it goes where another program spoilt it."""
    kinds = {keys.wakeups: b"zset", keys.workers: b"zset", keys.worker_info: b"hash", keys.dispatcher: b"string"}
    kinds |= {keys.schedule: b"hash", keys.replays: b"hash", keys.wake_now: b"zset"}
    pipe = client.pipeline(transaction=False)
    for name in kinds:
        pipe.type(name)
    for (name, kind), found in zip(kinds.items(), pipe.execute(), strict=True):
        if found not in (kind, b"none"):
            log.error("ledger.damaged", extra={"what": name, "why": f"it was a {found.decode()}"})
            client.delete(name)


class Checker:
    """Looks whether the records and indexes of accounts fit together, a few hundred at a time.

    What does not is put right or put aside by `lua/check.lua`. Raises `Unreachable`; it begins anew then.
    """

    def __init__(self, client: redis.Redis, ledger: Callable[[str], Ledger], keys: Keys = OURS) -> None:
        self._client = client
        self._ledger = ledger
        self._keys = keys
        self._pass: Iterator[None] | None = None

    def step(self, accounts: Collection[str], most: int) -> None:
        """Go on with the check of everything, for so many round trips, or to its end."""
        rest, self._pass = self._pass or self.everything(accounts), None
        for _ in range(most):
            if next(rest, self) is self:
                return
        self._pass = rest

    def everything(self, accounts: Collection[str]) -> Iterator[None]:
        """One check of everything; yields after each round trip or two."""
        for account in accounts:
            ledger = self._ledger(account)
            if not read_redis(
                self._client.exists, *(ledger.prefix + name for name in (*indexes(), Key.GATE, Key.COUNTERS))
            ):
                yield
                continue
            check(ledger, keys=True)
            for index in indexes():
                for page in self._pages("zscan", ledger.prefix + index):
                    check(ledger, [member for member, _ in page])
                    yield
        records = re.compile(rb"%s:\{(.*?)\}:d:(.*)" % self._keys.namespace.encode(), re.DOTALL)
        named = f"{self._keys.namespace}:{{*}}:d:*"
        for page in (page for one in servers_of(self._client) for page in self._pages("scan", client=one, match=named)):
            found: dict[str, list[bytes]] = defaultdict(list)
            for key in page:
                if parts := records.fullmatch(key):
                    found[parts[1].decode(errors="replace")].append(parts[2])
            for account in found.keys() & set(accounts):
                check(self._ledger(account), found[account])
                yield

    def _pages(self, scan: str, *args: Any, client: redis.Redis | None = None, **options: Any) -> Iterator[Any]:
        cursor = 0
        while True:
            cursor, page = read_redis(
                getattr(client or self._client, scan), *args, cursor=cursor, count=BATCH, **options
            )
            yield page
            if cursor == 0:
                return
