"""The stream of receipts of one account, as far as Redis still has it: written by `lua/_receipt.lua`, read here.

How far they are sealed and archived stands in the chain (see `lua/seal.lua`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import redis

from worker.ledger import scripts, values
from worker.ledger.keys import OURS, Keys
from worker.ledger.redis_read import AccountReader, read_redis
from worker.ledger.schema.keys import Key
from worker.model.target import Target

PAGE = 500
START = "0-0"  # before every entry
DAY_MS = 86_400_000
ERRED_MS = 60_000.0  # whatever is dated so far ahead was dated by a clock that had erred
_REST = "+"
_RARE = ("e", "c", "by", "run", "pol", "also", "co", "y", "as", "vo", "eb", "ew", "ev", "f", "er", "iv")
_ID = re.compile(r"[0-9]{1,20}-[0-9]{1,20}")


@dataclass(frozen=True, slots=True)
class ReceiptEntry:
    """One receipt as the stream has it. `id` says in which order; and when, unless a clock had erred (see
    `lua/_receipt.lua`)."""

    id: str
    fields: dict[str, str]  # by the short names of `lua/_receipt.lua`; '' for what there is not

    @property
    def n(self) -> int:
        return int(self.fields["n"])

    @property
    def version(self) -> int:
        """Of the schema, by which it was written; without one it is of version 1."""
        return int(self.fields.get("v", 1))

    @property
    def settled_ms(self) -> int:
        return int(self.fields["t"])

    @property
    def is_end(self) -> bool:
        """Whether the deletion ended so; else something went on: see `event` in `worker.receipts.receipt`."""
        return not self.fields.get("ev")

    @property
    def ref(self) -> Target:
        return Target.parse(self.fields["ref"])


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A place in the chain: everything up to receipt `n`, the entry `id`, comes to `head`."""

    n: int = 0
    id: str = START
    head: str | None = None  # None: the chain's beginning


@dataclass(frozen=True, slots=True)
class ReceiptProgress:
    """How far the receipts of an account have come."""

    n: int  # the last one given
    sealed: Checkpoint
    archived: Checkpoint  # up to here they have left Redis
    relocated: bool = False  # the next day may go to a directory without those before it (see `lua/relocate.lua`)
    turned_ms: float | None = None  # when it turned out that it is earlier than was thought; None: never
    redactions: int = 0  # how often texts of receipts in the stream were redacted
    first_day: int = 0  # they count as of this day at least: those before have files (see `lua/begin_segment.lua`)
    records: int = 0  # up to here the records of deletions that ended have left as well (see `lua/archive_records.lua`)

    def day(self, settled_ms: float, now_ms: float) -> int:
        """The UTC day of a receipt, counted since 1970. One of a clock that had erred counts as of when that showed."""
        future = settled_ms > now_ms + ERRED_MS
        day = int((min(self.turned_ms or now_ms, now_ms) if future else settled_ms) // DAY_MS)
        return max(day, self.first_day)


class Receipts(AccountReader):
    """Reads one account's receipts. Raises `Unreachable` when Redis does not answer."""

    def __init__(self, client: redis.Redis, account: str, keys: Keys = OURS) -> None:
        super().__init__(client, account, keys)
        self._stream = self._p + Key.RECEIPTS

    def progress(self) -> ReceiptProgress:
        """How far they have come."""
        return _progress(read_redis(self._client.hgetall, self._p + Key.RECEIPTS_CHAIN))

    def missing(self) -> int:
        """How many should still be in the stream and are not."""
        pipe = self._client.pipeline(transaction=True)  # at one moment: others come and go all the time
        pipe.hgetall(self._p + Key.RECEIPTS_CHAIN)
        pipe.xlen(self._stream)
        pipe.zcard(self._p + Key.RECEIPTS_REDACTED)
        raw, in_stream, redacted = read_redis(pipe.execute)
        progress = _progress(raw)
        return max(0, progress.n - progress.archived.n - int(in_stream) - int(redacted))

    def read_page(self, after: str = START, *, limit: int = PAGE) -> list[ReceiptEntry]:
        """The next entries after an id, in their order."""
        found = values.loaded(read_redis(scripts.load("read_receipts").run, self._client, self._p, after, limit))
        return [ReceiptEntry(id, _fields(id, fields)) for id, fields in found]

    def each(self, after: str = START, *, until: str | None = None) -> Iterator[ReceiptEntry]:
        """Every entry after an id, up to another one, which is the last."""
        while page := self.read_page(after):
            for entry in page:
                if until is not None and place(entry.id) > place(until):
                    return
                yield entry
            after = page[-1].id

    def seals(self, after: Checkpoint, until: Checkpoint) -> list[Checkpoint]:
        """Places that were sealed between the two, in their order; `until` is the last."""
        found: Any = read_redis(
            self._client.zrangebyscore, f"{self._stream}:seals", f"({after.n}", f"({until.n}", withscores=True
        )
        seals = [(int(score), *member.decode().split(" ")) for member, score in found]
        return [*(Checkpoint(n, id, head) for n, id, head in seals), until]

    def bytes_used(self) -> int:
        """What they take of Redis's memory, about."""
        return int(read_redis(self._client.memory_usage, self._stream) or 0)


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


def _fields(id: str, flat: Sequence[str]) -> dict[str, str]:
    """Every field of an entry, also those that it has as JSON because most have none of them."""
    stored = dict(zip(flat[::2], flat[1::2], strict=True))
    rest = {name: str(value) for name, value in values.fields(stored.pop(_REST, "")).items()}
    fields = dict.fromkeys(_RARE, "") | rest | stored
    if fields.get("t") == "":
        fields["t"] = id.partition("-")[0]
    return fields


def _progress(raw: dict[bytes, bytes]) -> ReceiptProgress:
    fields = values.texts(raw)
    archived = _checkpoint(fields, "archived") or Checkpoint()
    relocated = archived.head is not None and fields.get("relocated") == archived.head
    turned = values.number(fields.get("turned"))
    return ReceiptProgress(
        values.whole(fields.get("n")),
        _checkpoint(fields, "sealed") or archived,
        archived,
        relocated,
        turned,
        values.whole(fields.get("redacted")),
        values.whole(fields.get("day")),
        values.whole(fields.get("records_n")),
    )


def _checkpoint(fields: dict[str, str], name: str) -> Checkpoint | None:
    """None: nothing was, or it was lost; what is in the stream is sealed anew then, and has to fit the seals."""
    id_ = fields.get(f"{name}_id", "")
    if not _ID.fullmatch(id_):
        return None
    return Checkpoint(values.whole(fields.get(f"{name}_n")), id_, fields.get(f"{name}_head"))
