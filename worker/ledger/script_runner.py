"""How a move is run: over one connection without hidden retries, numbered, and again while Redis is away."""

from __future__ import annotations

import logging
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import KW_ONLY, dataclass, field
from itertools import islice
from typing import Any, TypeVar

import redis

from worker.config.clock import PROCESS, Clocks, spoken
from worker.ledger import scripts, values
from worker.ledger.confirmation import CONFIRMED, Confirmation
from worker.ledger.keys import OURS, Keys
from worker.ledger.library import NoFunctions
from worker.ledger.redis_errors import FOR_A_PERSON, is_away, why_away
from worker.ledger.rights import Rights
from worker.ledger.schema.states import VERSION
from worker.ledger.types import compact
from worker.model.errors import NotConfirmed, OtherEndpoint, OtherSchema, ProjectElsewhere, Unreachable
from worker.model.target import Target

FUNCTIONS_AGAIN_S = 60.0  # after a server had none
PLACINGS = 10  # of a move: settings that disagree can take a project from each other only so often

log = logging.getLogger(__name__)

_Name = TypeVar("_Name", Target, str, bytes, Target | bytes)  # what a move is about

BATCH = 500  # deletions one script may touch: Redis serves nobody else meanwhile


class _Caller(threading.local):
    """Each thread numbers its own operations, so that a repeated one is known as such (see `lua/_once.lua`)."""

    def __init__(self) -> None:
        self._pid = 0
        self._name = ""
        self._seq = 0
        self.waits = False  # as an executor, as far as it knows (see `lua/take.lua`)

    def next(self) -> tuple[str, int]:
        """The caller's name and the operation's number.

        A forked child takes a name of its own: under its parent's, one child's request would be taken for another's.
        """
        if self._pid != os.getpid():
            self._pid, self._name, self._seq = os.getpid(), secrets.token_hex(8), 0
        self._seq += 1
        return self._name, self._seq


@dataclass(eq=False)
class ScriptRunner:
    """Runs the moves of one account. Thread-safe.

    endpoint: the address that this process calls for it; None: it calls nobody, and may act whatever the address is.
    placer(project, account): asks the register where a project belongs (see `worker.ledger.places`), so that a move on
    one that is not known here may go on, or raises `ProjectElsewhere`; None: what is not known to be elsewhere is here.
    patience_s: how long it tries again while Redis is away. wake(at once?): called after a move that made work.
    confirmation: who else must have what a caller is promised; None: the primary's answer counts.
    clocks: what time it is by this process and by MetaStudio (see `lua/_clock.lua`). clock: Lua in the place of Redis's
    clock, for tests.
    """

    client: redis.Redis
    account: str
    _: KW_ONLY
    keys: Keys = OURS
    endpoint: str | None = None
    placer: Callable[[str, str], None] | None = None
    patience_s: float = 4.0
    wake: Callable[[bool], object] = lambda _: None
    confirmation: Confirmation | None = None
    clocks: Clocks = PROCESS.witnesses
    clock: str | None = None
    clocks_agree: bool = field(default=True, init=False)  # when it asked last
    ahead_ms: float = field(default=0.0, init=False)  # how far Redis's clock was ahead of the ledger's time then

    def __post_init__(self) -> None:
        self.prefix = self.keys.account(self.account)
        self._caller = _Caller()
        self._rights = Rights(self.client, self.prefix)
        self._functions_at = 0.0  # until then moves run as scripts

    def results(self, move: str, options: dict[str, Any], refs: Iterable[_Name]) -> list[tuple[_Name, str]]:
        """Run one move over many deletions: each one's result."""
        results: list[tuple[_Name, str]] = []
        for batch, response in self.in_batches(move, options, refs):
            results += zip(batch, response["results"], strict=True)
        return results

    def in_batches(
        self,
        move: str,
        options: dict[str, Any],
        refs: Iterable[_Name],
        *,
        about: Callable[[list[_Name]], dict[str, Any]] = lambda _: {},
    ) -> Iterable[tuple[list[_Name], dict[str, Any]]]:
        """Run one move over many deletions, 500 at a time. `about` adds what it needs to know of each batch."""
        rest = iter(refs)
        while batch := list(islice(rest, BATCH)):
            yield batch, self.run_script(move, options | about(batch), batch)

    def run_script(
        self,
        name: str,
        options: dict[str, Any],
        refs: Sequence[Target | str | bytes] = (),
        *,
        keep_trying: Callable[[], bool] | None = None,
    ) -> dict[str, Any]:
        """Run one move, repeating it under the same number while Redis is away.

        keep_trying: try on while it returns True, instead of for `patience_s`. Raises `WrongLedger`,
        `ProjectElsewhere`, and `NotConfirmed`: then it was done, and a failover may lose it.
        """
        if self.placer:
            options = options | {"placed": True}
        for _ in range(PLACINGS):
            response = self._run(name, options, refs, keep_trying)
            if "unplaced" not in response:
                return response
            for project in response["unplaced"]:
                self._place(project)
        raise RuntimeError(f"{name}: a project finds no account")  # a bug: whoever placed it was told that it is here

    def _place(self, project: str) -> None:
        if self.placer is None:
            raise ProjectElsewhere(project, home=self.account, ours="another account")
        self.placer(project, self.account)

    def _run(
        self,
        name: str,
        options: dict[str, Any],
        refs: Sequence[Target | str | bytes],
        keep_trying: Callable[[], bool] | None,
    ) -> dict[str, Any]:
        script = scripts.load(name, clock=self.clock)
        caller, seq = self._caller.next()
        numbered = f"{seq} {self.endpoint or ''}".rstrip()
        run = self.confirmation.run if self.confirmation and name in CONFIRMED else self._unconfirmed
        salt = {"salt": secrets.token_urlsafe(16)}  # of the receipts that it writes (see `_receipt.lua`)
        sent = options | salt | ({} if run == self._unconfirmed else {"confirmed": True})
        gate = sent.pop("gate", None)  # it is text, and the same from move to move
        text = compact(sent) + (f"\n{gate}" if gate else "")
        names = [ref if isinstance(ref, bytes) else str(ref) for ref in refs]
        give_up = time.monotonic() + self.patience_s
        pause = 0.05
        while True:
            try:
                self._rights.require(script.commands)
                message = f"{numbered}{spoken(self.clocks())}"
                raw, missing = run(script, self.client, self.prefix, caller, message, text, *names)
                response: dict[str, Any] = values.loaded(raw)
            except redis.RedisError as error:
                self._rights.forget(error)
                if not is_away(error):
                    raise
                in_time = time.monotonic() + pause <= give_up and not isinstance(error, FOR_A_PERSON)
                if not (keep_trying() if keep_trying else in_time):
                    raise Unreachable(why_away(error)) from None
                time.sleep(pause)
                pause = min(pause * 2, 1.0)
                continue
            if stored := response.get("schema"):
                raise OtherSchema(f"account {self.account} of this ledger", stored=int(stored), ours=VERSION)
            if bound := response.get("elsewhere"):
                raise OtherEndpoint(self.account, bound=bound, ours=self.endpoint or "")
            if response.get("stale"):
                raise RuntimeError(f"the {name} of caller {caller} came after its successor")  # a bug: threads share it
            self.clocks_agree, self.ahead_ms = not response.get("apart"), response.get("ahead", 0.0)
            for what, why in response.get("damage", ()):
                log.error("ledger.damaged", extra={"ledger": self.prefix, "what": what, "why": why})
            if "wake" in response:
                self.wake(response["wake"])
            if missing and "unplaced" not in response:
                raise NotConfirmed(
                    f"recorded, and it may still be carried out, but {missing}, and a failover would lose "
                    "it; ask again: that merges"
                )
            return response

    def _unconfirmed(
        self, script: scripts.Script, client: redis.Redis, keys: str, *args: str | bytes
    ) -> tuple[Any, str]:
        if script.library and time.monotonic() >= self._functions_at:
            try:
                return script.library.run(client, keys, *args), ""
            except NoFunctions:
                self._functions_at = time.monotonic() + FUNCTIONS_AGAIN_S
        return script.run(client, keys, *args), ""
