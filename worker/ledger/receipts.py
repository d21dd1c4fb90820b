"""The stream of receipts of one account, as far as Redis still has it: written by `lua/_receipt.lua`, read here.

How far they are sealed and archived stands in the book (see `lua/seal.lua`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import redis

from worker.keys import OURS, Keys
from worker.ledger import scripts, values
from worker.ledger.ask import ask
from worker.ledger.moves import Ref
from worker.ledger.schema.keys import Key

PAGE = 500
START = "0-0"  # before every entry
DAY_MS = 86_400_000
ERRED_MS = 60_000.0  # whatever is dated so far ahead was dated by a clock that had erred
_ID = re.compile(r"[0-9]{1,20}-[0-9]{1,20}")


@dataclass(frozen=True, slots=True)
class Entry:
    """One receipt as the stream has it. `id` says in which order; and when, unless a clock had erred (see
    `lua/_receipt.lua`)."""

    id: str
    fields: dict[str, str]  # by the short names of `lua/_receipt.lua`; '' for what there is not

    @property
    def n(self) -> int:
        return int(self.fields["n"])

    @property
    def settled_ms(self) -> int:
        return int(self.fields["t"])

    @property
    def ref(self) -> Ref:
        return Ref.parse(self.fields["ref"])


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in the chain: everything up to receipt `n`, the entry `id`, comes to `head`."""

    n: int = 0
    id: str = START
    head: str | None = None  # None: the chain's beginning


@dataclass(frozen=True, slots=True)
class Book:
    """How far the receipts of an account have come."""

    n: int  # the last one given
    sealed: Mark
    archived: Mark  # up to here they have left Redis
    relocated: bool = False  # the next day may go to a directory without those before it (see `lua/relocate.lua`)
    turned_ms: float | None = None  # when it turned out that it is earlier than was thought; None: never

    def day(self, settled_ms: float, now_ms: float) -> int:
        """The UTC day of a receipt, counted since 1970. One of a clock that had erred counts as of when that showed."""
        future = settled_ms > now_ms + ERRED_MS
        return int((min(self.turned_ms or now_ms, now_ms) if future else settled_ms) // DAY_MS)


class Receipts:
    """Reads one account's receipts. Raises `Unreachable` when Redis does not answer."""

    def __init__(self, client: redis.Redis, account: str, keys: Keys = OURS) -> None:
        self.account = account
        self._client = client
        self._prefix = keys.account(account)
        self._stream = self._prefix + Key.RECEIPTS

    def book(self) -> Book:
        """How far they have come."""
        raw: Any = ask(self._client.hgetall, self._prefix + Key.RECEIPTS_CHAIN)
        return _book(raw)

    def missing(self) -> int:
        """How many should still be in the stream and are not."""
        pipe = self._client.pipeline(transaction=True)  # at one moment: others come and go all the time
        pipe.hgetall(self._prefix + Key.RECEIPTS_CHAIN)
        pipe.xlen(self._stream)
        raw, there = ask(pipe.execute)
        book = _book(raw)
        return max(0, book.n - book.archived.n - int(there))

    def page(self, after: str = START, *, limit: int = PAGE) -> list[Entry]:
        """The next entries after an id, in their order."""
        found = values.loaded(ask(scripts.load("page").run, self._client, self._prefix, after, limit))
        return [Entry(id, dict(zip(said[::2], said[1::2], strict=True))) for id, said in found]

    def each(self, after: str = START, *, until: str | None = None) -> Iterator[Entry]:
        """Every entry after an id, up to another one, which is the last."""
        while page := self.page(after):
            for entry in page:
                if until is not None and place(entry.id) > place(until):
                    return
                yield entry
            after = page[-1].id

    def seals(self, after: Mark, until: Mark) -> list[Mark]:
        """Places that were sealed between the two, in their order; `until` is the last."""
        found: Any = ask(
            self._client.zrangebyscore, f"{self._stream}:seals", f"({after.n}", f"({until.n}", withscores=True
        )
        seals = [(int(score), *member.decode().split(" ")) for member, score in found]
        return [*(Mark(n, id, head) for n, id, head in seals), until]

    def bytes_used(self) -> int:
        """What they take of Redis's memory, about."""
        return int(ask(self._client.memory_usage, self._stream) or 0)


def unsealed(client: redis.Redis, accounts: Iterable[str], keys: Keys = OURS) -> list[str]:
    """The accounts that have receipts to seal, in one round trip. Raises redis-py's errors."""
    names = list(accounts)
    pipe = client.pipeline(transaction=False)
    for account in names:
        pipe.hmget(keys.account(account) + Key.RECEIPTS_CHAIN, "n", "sealed_n")
    return [name for name, (n, done) in zip(names, pipe.execute(), strict=True) if n and n != done]


def following(id: str) -> str:
    """The smallest id after this one."""
    at, number = place(id)
    return f"{at}-{number + 1}"


def place(id: str) -> tuple[int, int]:
    """The id of an entry as something that can be compared. Raises `ValueError` for what is none."""
    if not _ID.fullmatch(id):
        raise ValueError(id)
    at, number = map(int, id.split("-"))
    if max(at, number) >= 2**64:
        raise ValueError(id)
    return at, number


def _book(raw: dict[bytes, bytes]) -> Book:
    said = values.texts(raw)
    archived = _mark(said, "archived") or Mark()
    relocated = archived.head is not None and said.get("relocated") == archived.head
    turned = values.number(said.get("turned"))
    return Book(values.whole(said.get("n")), _mark(said, "sealed") or archived, archived, relocated, turned)


def _mark(said: dict[str, str], name: str) -> Mark | None:
    """None: nothing was, or it was lost; what is in the stream is sealed anew then, and has to fit the seals."""
    id_ = said.get(f"{name}_id", "")
    return Mark(values.whole(said.get(f"{name}_n")), id_, said.get(f"{name}_head")) if _ID.fullmatch(id_) else None
