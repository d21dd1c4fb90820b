"""What deleted jobs leave behind, in one account's ledger: what is to be looked at, and what a look found."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Unpack

import redis

from worker.ledger.account import AccountLedger
from worker.ledger.audit_actions import ActionName, Who, explained
from worker.ledger.redis_read import read_redis
from worker.ledger.schema.erasure import ErasureField
from worker.ledger.schema.keys import Key
from worker.ledger.script_runner import BATCH
from worker.ledger.types import compact, lean
from worker.ledger.values import entries, is_list, number, targets, texts, whole
from worker.model.erasure import Inventory, Related, Verdict
from worker.model.shares import batches
from worker.model.target import Target

NOT_NOW = ("on_hold", "withdrawn")  # what the request for a part is answered that was not written down
LEASE_S = 120.0  # of one batch: longer than its looks take, however slow


@dataclass(frozen=True, slots=True)
class ErasureRecord:
    """One erasure as it is stored; `parts` as `worker.rules.parts.Part` writes them. Times in ms since 1970."""

    job: Target
    related: Related | None
    inventory: Inventory | None
    verdict: Verdict | None
    parts: tuple[dict[str, Any], ...] = ()
    opened: int = 0
    closed: int | None = None
    looks: int = 0
    leases: int = 0
    app_user: str | None = None
    damaged: bool = False  # what belonged to the job cannot be read

    @classmethod
    def read(cls, job: Target, fields: Mapping[str, str]) -> ErasureRecord:
        """From its hash; what another program wrote there counts as nothing."""
        closed = fields.get(ErasureField.CLOSED_AT)
        return cls(
            job,
            _word(Related, fields.get(ErasureField.RELATED)),
            _word(Inventory, fields.get(ErasureField.INVENTORY)),
            _word(Verdict, fields.get(ErasureField.VERDICT)),
            tuple(entries(fields.get(ErasureField.PARTS))),
            whole(fields.get(ErasureField.OPENED_AT)),
            whole(closed) if closed else None,
            whole(fields.get(ErasureField.LOOKS)),
            whole(fields.get(ErasureField.LEASES)),
            fields.get(ErasureField.APP_USER),
            not is_list(fields.get(ErasureField.PARTS, None if fields.get(ErasureField.INVENTORY) == "done" else "[]")),
        )


@dataclass(frozen=True, slots=True)
class Watch:
    """How the job of an experiment is looked at: seconds after its DELETE, and what that DELETE was answered."""

    schedule: tuple[float, ...]
    status: int | None = None
    code: str | None = None


@dataclass(frozen=True, slots=True)
class LeasedErasure:
    """One erasure that is to be looked at. `deletions`: (state, calls, cause or evidence) of parts that have a
    deletion of their own; `shared`: ids of parts that several jobs named; `watch`: it is an experiment; `held`: none
    of its parts may be deleted now."""

    record: ErasureRecord
    deletions: Mapping[Target, tuple[str, int, str]]
    shared: frozenset[str]
    watch: Watch | None = None
    held: bool = False


@dataclass(frozen=True, slots=True)
class ErasureStep:
    """What a look found: to be recorded. `next` in ms since 1970; None closes it. answers: of an experiment, what was
    answered; watched: it is not over."""

    job: Target
    leases: int
    parts: Sequence[dict[str, Any]]
    looks: int
    verdict: Verdict
    next: int | None
    left: bool
    answers: Sequence[dict[str, Any]] | None = None
    watched: bool = False
    damaged: str | None = None  # why what belonged to the job makes no sense: it is put aside


class Erasures(AccountLedger):
    """The moves of those who look at what jobs left behind."""

    def lease_erasures(self, *, limit: int = 100) -> tuple[list[LeasedErasure], float]:
        """Those that are due, and the ledger's time (ms). Nobody else gets them for a while."""
        options = {"limit": limit, "lease": LEASE_S * 1000, "gate": self.gate_options}
        response = self.run_script("lease_erasures", options)
        return [_leased(found) for found in response.get("erasures", ())], response["now"]

    def erase_related(
        self, jobs: Iterable[Target], *, looks: int, evidence: Sequence[str], app_user: str | None, **who: Unpack[Who]
    ) -> list[tuple[Target, str]]:
        """Delete what is proven to be theirs. Results: see `lua/erase_related.lua`. looks: how many count as made."""
        options = {"related": Related.DELETE.value, "evidence": list(evidence), "looks": looks, "after": 0}
        return self._begin_anew(jobs, options, app_user, explained(ActionName.RELATED_ERASED, who))

    def restore_related(
        self, jobs: Iterable[Target], *, after_s: float, app_user: str | None, **who: Unpack[Who]
    ) -> list[tuple[Target, str]]:
        """Nothing of theirs is deleted any more: what is in the bin comes out. after_s: until the next look."""
        options = {"related": Related.VERIFY.value, "evidence": ["in_bin"], "looks": 0, "after": after_s * 1000}
        return self._begin_anew(jobs, options, app_user, explained(ActionName.RELATED_RESTORED, who))

    def look_now(self, job: Target) -> None:
        """Whoever comes next looks at it, if it is open."""
        read_redis(self.client.zadd, self.prefix + Key.ERASURES, {str(job): 0}, xx=True)

    def _begin_anew(
        self, jobs: Iterable[Target], options: dict[str, Any], app_user: str | None, act: dict[str, Any]
    ) -> list[tuple[Target, str]]:
        user = {"app_user": app_user, "user_hash": self.users.hashed(app_user)} if app_user else {}
        return self.results("erase_related", options | user | act, jobs)

    def record_looks(self, steps: Sequence[ErasureStep]) -> list[str]:
        """Each one's result: open, closed or stale."""
        options = [
            {"leases": step.leases, "parts": compact(list(step.parts)), "looks": step.looks}
            | {"verdict": step.verdict.value, "left": step.left}
            | lean({"next": step.next, "damaged": step.damaged})
            | ({"answers": _lines(step.answers), "watched": step.watched} if step.answers is not None else {})
            for step in steps
        ]
        response = self.run_script("record_look", {"steps": options}, [step.job for step in steps])
        return list(response["results"])


@dataclass(frozen=True, slots=True)
class ErasureRow:
    """One erasure for people. next_look in ms since 1970; shared: ids of parts that several jobs named."""

    record: ErasureRecord
    next_look: float | None
    shared: frozenset[str]


def erasures(client: redis.Redis, prefix: str, *, left: bool) -> Iterator[ErasureRow]:
    """Those of one account that left something behind, the oldest first; and, without `left`, those that are open."""
    names: dict[bytes, None] = {}
    for index in [Key.LEFT_BEHIND] if left else [Key.LEFT_BEHIND, Key.ERASURES]:
        names |= dict.fromkeys(read_redis(client.zrange, prefix + index, 0, -1))
    for batch in batches(targets(names), BATCH):
        yield from erasures_of(client, prefix, batch)


def erasures_of(client: redis.Redis, prefix: str, jobs: Iterable[Target]) -> Iterator[ErasureRow]:
    """The erasures of these jobs; one that has none is left out."""
    every = list(jobs)
    pipe = client.pipeline(transaction=False)
    for job in every:
        pipe.hgetall(f"{prefix}{Key.ERASURE}{job}")
        pipe.zscore(prefix + Key.ERASURES, str(job))
    found = read_redis(pipe.execute) if every else []
    records = {
        job: ErasureRecord.read(job, texts(fields)) for job, fields in zip(every, found[::2], strict=True) if fields
    }
    ids = [id for record in records.values() for part in record.parts if isinstance(id := part.get("id"), str)]
    named = read_redis(client.hmget, prefix + Key.ASSET_JOBS, ids) if ids else []
    shared = frozenset(id for id, job in zip(ids, named, strict=True) if job and job.startswith(b"*"))
    for job, due in zip(every, found[1::2], strict=True):
        if job in records:
            yield ErasureRow(records[job], number(due), shared)


def _leased(found: dict[str, Any]) -> LeasedErasure:
    fields = dict(zip(found["fields"][::2], found["fields"][1::2], strict=True))
    deletions = {Target.parse(ref): (state, int(calls), cause) for ref, state, calls, cause in found.get("parts", ())}
    record = ErasureRecord.read(Target.parse(found["ref"]), fields)
    shared, watch = frozenset(found.get("shared", ())), _watch(found.get("experiment"))
    return LeasedErasure(record, deletions, shared, watch, found.get("held", False))


def _watch(found: dict[str, Any] | None) -> Watch | None:
    if found is None:
        return None
    status, code = found.get("status"), found.get("code")
    return Watch(tuple(map(float, found["schedule"])), whole(status) if status else None, code or None)


def _lines(answers: Sequence[dict[str, Any]]) -> str:
    return "\n".join(map(compact, answers))


def _word(kind: Any, text: str | None) -> Any:
    return kind(text) if text in tuple(kind) else None
