"""A few fields of very many deletions: dead letters in groups, the states of a file's jobs, the jobs of a run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from worker.ledger import scripts, values
from worker.ledger.deletions import BATCH
from worker.ledger.records import of_record
from worker.ledger.redis_read import AccountReader, read_redis
from worker.ledger.schema.fields import Field
from worker.ledger.schema.keys import Key
from worker.ledger.schema.states import indexes_of
from worker.ledger.types import compact
from worker.model.shares import batches
from worker.model.states import State
from worker.model.target import Target

_NOT_OVER = (State.PENDING, State.RUNNING, State.HELD, State.DEAD)


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A dead or discarded deletion without its history. Times in ms since 1970, Redis's clock."""

    ref: Target
    account: str
    cause: str
    status: int | None  # of the last DELETE
    code: str | None
    finished_at: float  # of a discarded one: when it was discarded
    deadline_at: float
    requested_at: float
    requested_by: str | None
    reason: str | None
    run: str | None
    lane: str = "bulk"
    round: int = 1
    death: int = 0  # the account counts its deaths; 0: before it did
    replay: str | None = None  # that began its present round
    whose: str | None = None  # the hash of its app user, "-" for nobody's: as a look found, else as a caller said


_LETTER = of_record(DeadLetter, deadline_at=Field.DEADLINE, death=Field.DEATH_NUMBER)
_LETTER_FIELDS = (*_LETTER.stored, Field.STATE, Field.OWNER_HASH, Field.APP_USER_HASH)


@dataclass(frozen=True, slots=True)
class DeadLetterGroup:
    """Dead letters that died of the same. Times in ms since 1970, Redis's clock."""

    group: str
    cause: str
    status: int | None
    code: str | None
    count: int
    first_seen: float
    last_seen: float
    oldest_deadline: float
    last_replay: float | None = None


class BulkQueries(AccountReader):
    """Reads one account's ledger in bulk. Raises `Unreachable` when Redis does not answer."""

    def refs(self, state: State) -> list[Target]:
        """Every deletion that stands in `dead`, `discarded` or another index of one state, newest first."""
        # members first, records later: paging by rank over a moving index would skip some
        return values.targets(read_redis(self._client.zrange, self._p + state.value, 0, -1, desc=True))

    def deaths(self) -> int:
        """How many deaths there were; each has its number."""
        return values.whole(read_redis(self._client.get, self._p + Key.DEATHS))

    def letters(self, state: State = State.DEAD, refs: Iterable[Target] | None = None) -> Iterator[DeadLetter]:
        """Every dead (or discarded) letter, newest first; or those of these, in their order."""
        for ref, fields in self._each(self.refs(state) if refs is None else refs, _LETTER_FIELDS):
            if fields[Field.STATE] == state:  # one that moved on meanwhile is left out
                whose = fields[Field.OWNER_HASH] or fields[Field.APP_USER_HASH] or None
                yield _LETTER.read(fields, ref=ref, account=self.account, whose=whose)

    def groups(self) -> tuple[list[DeadLetterGroup], int]:
        """The dead letters in groups, and how many letters stand in none: an earlier version left them so."""
        response = values.loaded(read_redis(scripts.load("groups").run, self._client, self._p))
        found = [
            DeadLetterGroup(group, cause, values.whole(status) if status else None, code or None, *rest)
            for group, cause, status, code, *rest in response.get("groups", ())
        ]
        return found, response["dead"] - sum(group.count for group in found)

    def states(self, refs: Iterable[Target]) -> Iterator[tuple[Target, State | None]]:
        """Each one's state, in order; None for one that is not known."""
        for ref, fields in self._each(refs, (Field.STATE,)):
            yield ref, values.state(fields[Field.STATE])

    def ends(self, refs: Iterable[Target]) -> Iterator[tuple[Target, State | None, float]]:
        """Each one's state, and when it ended (ms since 1970; 0: it did not)."""
        for ref, fields in self._each(refs, (Field.STATE, Field.FINISHED_AT)):
            yield ref, values.state(fields[Field.STATE]), values.number(fields[Field.FINISHED_AT]) or 0.0

    def came_back(self) -> dict[Target, float]:
        """Jobs that MetaStudio has again after their deletion and nobody requested since; when that was found (ms)."""
        found: Any = read_redis(partial(self._client.zrange, self._p + Key.CAME_BACK, 0, -1, withscores=True))
        at = {ref: score for ref, (_, score) in zip(values.targets(ref for ref, _ in found), found, strict=True)}
        over = (None, State.DELETED, State.GONE)
        return {ref: at[ref] for ref, state, ended in self.ends(at) if state in over and ended <= at[ref]}

    def claimed_by(self, run: str) -> Iterator[Target]:
        """Every deletion that a run asked for and that may be sent: dead letters too, by a replay."""
        pipe = self._client.pipeline(transaction=True)  # at one moment: none slips from one index to another between
        for index in (index for state in _NOT_OVER for index in indexes_of(state)):
            pipe.zrange(self._p + index, 0, -1, desc=True)
        refs = values.targets(member for members in read_redis(pipe.execute) for member in members)
        for ref, fields in self._each(refs, (Field.RUN, Field.CLAIMS)):
            claims = values.entries(fields[Field.CLAIMS])
            if fields[Field.RUN] == run or any(claim.get("run") == run for claim in claims):
                yield ref

    def _each(self, refs: Iterable[Target], names: tuple[str, ...]) -> Iterator[tuple[Target, dict[str, Any]]]:
        script = scripts.load("read_fields")
        for batch in batches(refs, BATCH):
            response = read_redis(script.run, self._client, self._p, compact(names), *map(str, batch))
            for ref, found in zip(batch, values.loaded(response), strict=True):
                yield ref, dict(zip(names, found, strict=True))
