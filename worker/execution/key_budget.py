"""The budget of a key: how often it may be refused, for all processes, accounts and kinds of calls together.

More than five refusals in a row lock a key for five minutes, also for other programs that use it rightly; five wrong
passwords lock an IAM user. So each key has its own record in Redis (`ledger/lua/key.lua`), and every call with a
key checks it:

    before   a key that this process knows to work may be used. For any other key the record decides: use it, try it
             with this one call, or wait
    after    a refusal is written to the record, which says until when the key rests, and to every account that uses it,
             before the answer is returned. Any other answer shows that the key works

A key rests for 60 s once (only if it worked here before), then for 5 m 30 s, 15 m and 30 m; it is never tried more
than twice in 5 m 30 s, whoever resumes or changes it. The calls that were in progress when it was refused are extra.
"""

from __future__ import annotations

import json
import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

import redis

from worker.config.clock import PROCESS, Clocks
from worker.config.durations import format_duration
from worker.ledger import scripts
from worker.ledger.keys import Keys
from worker.ledger.redis_errors import is_away, why_away
from worker.ledger.script_runner import ScriptRunner
from worker.ledger.types import compact, lean
from worker.metastudio.credentials import Signer
from worker.metastudio.issuer_answers import is_locked
from worker.metastudio.response import Response
from worker.model.errors import EraserError, Unreachable
from worker.rules.classify import ResponseKind, classify
from worker.rules.gate_signals import server_time_of

log = logging.getLogger(__name__)

LOCK_WORDS = "failed to reach the limit"
LOCKED_MS = 330_000.0  # a locked key rests for the whole lock
USER_LOCKED_MS = 15 * 60_000.0  # IAM's default lock; a try before its end may extend it
PATIENCE_S = 4.0  # for an account to be told of it
NO_ANSWER = (ResponseKind.FAILED, ResponseKind.THROTTLED)  # to the question whether the key works


@dataclass(frozen=True, slots=True)
class KeyPolicy:
    """How long a refused key rests, in ms. It does not depend on the retry schedule; tests and the demo make it
    short.
    """

    pauses: tuple[float, ...] = (60_000, 330_000, 900_000, 1_800_000)  # the first one only for a key that worked before
    within: float = 330_000  # how long a refusal counts
    most: int = 2  # tries refused within that time
    try_for: float = 60_000  # no one else tries while one process does, unless that one never reports a result
    keep: float = 40 * 86_400_000  # the record of a key that is no longer used


class KeyBlocked(Unreachable):
    """Nothing was sent: the key was refused and may not be tried again yet."""

    def __init__(self, rest_s: float, *, why: str | None, target: str | None, tried: bool) -> None:
        again = format_duration(round(rest_s) or 1)
        self.summary = f"the key was refused ({why or 'see eraser status'}) and is tried again in {again}"
        if tried:
            self.summary = "another process is testing the key; try again in a moment"
        super().__init__(self.summary if tried else f"{self.summary}. Correct it, then: eraser resume --reason R")
        self.rest_s, self.why, self.target, self.tried = rest_s, why, target, tried


class KeyBudget:
    """The records of all keys, for one process. Thread-safe.

    client: built when it is first needed; holder: this process; wake: let the dispatcher check an account; sharing:
    accounts of this process that use a key.
    """

    def __init__(
        self,
        client: Callable[[], redis.Redis],
        keys: Keys,
        *,
        holder: str,
        wake: Callable[[str], None] = lambda _: None,
        sharing: Callable[[Signer], Iterable[str]] = lambda _: (),
        policy: KeyPolicy = KeyPolicy(),
        clocks: Clocks = PROCESS.witnesses,
        clock: str | None = None,
    ) -> None:
        self.policy, self.wake, self.sharing = policy, wake, sharing
        self._client, self._keys, self._holder, self._clocks, self._clock = client, keys, holder, clocks, clock
        self.good: set[tuple[str, str]] = set()  # account and fingerprint of keys that are known to work
        self.unreported: list[tuple[Signer, _Refusal]] = []  # while Redis was unreachable
        self._runners: dict[str, ScriptRunner] = {}

    def of(self, account: str) -> Watched:
        """The same for the calls of one account."""
        return Watched(self, account)

    def retry(self, record: str) -> float:
        """An operator asks to try the key at once. Returns the seconds until the budget allows it."""
        return float(self.run("retry", record)["rest"]) / 1000

    def report_missed(self) -> None:
        """Report the refusals that could not be reported."""
        while self.unreported:
            signer, refusal = self.unreported[-1]
            self.run("refused", signer.record, signer.fingerprint, "", refusal.as_json())
            self.unreported.pop()

    def close(self, account: str, signer: Signer, rests: KeyBlocked, server_time: datetime | None = None) -> None:
        """Close an account that uses the key."""
        fields = {"key": signer.fingerprint, "record": signer.record, "rest": rests.rest_s * 1000}
        fields |= {"why": rests.why, "target": rests.target, "quiet": rests.tried}
        fields |= {"server_time": server_time.timestamp() * 1000 if server_time else None}
        self.runner(account).run_script("close_key", lean(fields))

    def caller(self) -> str:
        return f"{self._holder}:{threading.get_ident()}"

    # -- the moves ---------------------------------------------------------------------------------------------------

    def runner(self, account: str) -> ScriptRunner:
        """Also for accounts of other processes, which may not be in this process's settings."""
        if account not in self._runners:
            settings: dict[str, Any] = {"keys": self._keys, "clocks": self._clocks, "clock": self._clock}
            self._runners[account] = ScriptRunner(self._client(), account, patience_s=PATIENCE_S, **settings)
        return self._runners[account]

    def run(self, step: str, record: str, *args: str) -> dict[str, Any]:
        try:
            return self._run(step, record, *args)
        except redis.ResponseError as error:  # another program wrote something into it that no script can read
            log.error("ledger.damaged", extra={"what": self._keys.key(record), "why": str(error)})
            self._run("spoilt", record)
            return self._run(step, record, *args)

    def _run(self, step: str, record: str, *args: str) -> dict[str, Any]:
        script = scripts.load("key", clock=self._clock)
        fields = asdict(self.policy) | {"clocks": [seconds * 1000 for seconds in self._clocks()]}
        try:
            response = script.run(self._client(), self._keys.key(record), step, compact(fields), *args)
        except redis.RedisError as error:
            if not is_away(error):
                raise
            raise Unreachable(why_away(error)) from None
        values: dict[str, Any] = json.loads(response)
        return values


@dataclass(frozen=True, slots=True)
class _Refusal:
    """One refusal. `left` is when the call was sent, on this process's monotonic clock."""

    left: float
    why: str
    target: str | None
    lock_ms: float | None
    server_time: datetime | None  # the clock was wrong: the next call may be sent at once
    id: str = field(default_factory=lambda: secrets.token_hex(8))

    def as_json(self) -> str:
        fields = {"id": self.id, "age": _age(self.left), "why": self.why[:200], "target": self.target}
        return compact(lean(fields | {"lock": self.lock_ms, "at_once": self.server_time is not None}))


@dataclass(frozen=True, slots=True)
class Watched:
    """What the calls of one account check: see `worker.metastudio.credentials.Watch`."""

    budget: KeyBudget
    account: str

    def before(self, signer: Signer, *, anew: bool = False, close: bool = True) -> None:
        """Raises `KeyBlocked` if nothing may be sent with this key now; then the account is closed, or stays open.
        anew: ignore what this process knows.
        """
        if self._is_good(signer) and not anew:
            return
        self.budget.report_missed()
        answer = self._run("ask", signer, self.account)
        if answer["may"] == "use":
            self.budget.good.add((self.account, signer.fingerprint))
        if answer["may"] != "wait":
            return
        tried = "tried" in answer
        rests = KeyBlocked(answer["rest"] / 1000, why=answer.get("why"), target=answer.get("target"), tried=tried)
        if close:
            self.budget.close(self.account, signer, rests)
        raise rests

    def after(self, signer: Signer, response: Response, *, target: str | None = None, final: bool = True) -> None:
        """The answer to a call that it signed, or to a request for a token. Never raises, because the caller needs
        the answer.
        """
        kind, sent_at = classify(response), response.sent_at
        if not response.of_iam and kind in (ResponseKind.CREDENTIALS, ResponseKind.CLOCK):
            if final:
                self.refused(signer, response, target=target)
        elif sent_at is not None and response.status is not None and kind not in NO_ANSWER:
            self._accepted(signer, sent_at)
        elif not self._is_good(signer):  # another process may try the key
            with self._whatever_happens():
                self._run("unreported", signer)

    def _accepted(self, signer: Signer, left: float) -> None:
        """A call sent at that time was accepted with it. Never raises."""
        if self._is_good(signer):
            return
        with self._whatever_happens():
            answer = self._run("proved", signer, str(_age(left)))
            if not answer["proved"]:
                return
            self.budget.good.add((self.account, signer.fingerprint))
            for other in answer.get("accounts", ()):
                if self._open(other, signer):
                    self.budget.wake(other)

    def refused(self, signer: Signer, response: Response, *, target: str | None = None, close: bool = True) -> None:
        """The same for a refusal: it is recorded, and closes every account that uses the key. Never raises."""
        lock_ms = None
        if LOCK_WORDS in (response.message or "") or (response.of_iam and is_locked(response)):
            lock_ms = USER_LOCKED_MS if response.of_iam else LOCKED_MS
        server_time = server_time_of(response) if classify(response) is ResponseKind.CLOCK else None
        refusal = _Refusal(response.sent_at or time.monotonic(), response.in_words(), target, lock_ms, server_time)
        with self._whatever_happens():
            self._record(signer, refusal, close=close)

    def _record(self, signer: Signer, refusal: _Refusal, *, close: bool) -> None:
        budget = self.budget
        budget.good = {known for known in budget.good if known[1] != signer.fingerprint}
        try:
            budget.report_missed()
            answer = self._run("refused", signer, refusal.as_json())
        except Unreachable:
            budget.unreported.append((signer, refusal))  # the account's own gate closes when the answer is settled
            raise
        if answer.get("repaired"):
            return
        rests = KeyBlocked(answer["rest"] / 1000, why=refusal.why, target=refusal.target, tried=False)
        log.error("key.refused", extra={"account": self.account, "error": refusal.why, "rests_s": round(rests.rest_s)})
        for other in {*answer["accounts"], *budget.sharing(signer), self.account} if close else ():
            budget.close(other, signer, rests, refusal.server_time)

    def _is_good(self, signer: Signer) -> bool:
        return (self.account, signer.fingerprint) in self.budget.good

    def _open(self, account: str, signer: Signer) -> bool:
        """Whether the key had closed it."""
        return bool(self.budget.runner(account).run_script("open_key", {"key": signer.fingerprint})["was"])

    def _run(self, step: str, signer: Signer, *args: str) -> dict[str, Any]:
        return self.budget.run(step, signer.record, signer.fingerprint, self.budget.caller(), *args)

    @contextmanager
    def _whatever_happens(self) -> Iterator[None]:
        try:
            yield
        except EraserError as error:
            log.warning("key.unrecorded", extra={"account": self.account, "error": str(error)})
        except Exception:
            log.exception("key.unrecorded", extra={"account": self.account})


def _age(left: float) -> float:
    return max(0.0, (time.monotonic() - left) * 1000)
