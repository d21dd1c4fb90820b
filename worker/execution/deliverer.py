"""Delivers webhooks: a thread in every worker, behind and beside all deletions.

It makes deliveries of what is in the outbox, and sends what is due, each attempt in a thread of its own: an endpoint
that is slow or gone holds no more than `WIDEST` of them, and delays neither a deletion nor another endpoint. After a
failure one attempt at a time goes there, and none for a second, until one is accepted.
"""

from __future__ import annotations

import logging
import math
import random
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import redis

from worker.config.accounts import DEFAULT
from worker.config.webhooks import TEST, Endpoint, EventType
from worker.execution import endpoints
from worker.execution.app_context import AppContext
from worker.ledger import deliveries
from worker.ledger.deletions import Ledger
from worker.ledger.deliveries import Head, Taken, Wanted
from worker.ledger.reachable import reachable
from worker.ledger.redis_read import WrongKind
from worker.ledger.types import lean
from worker.model.errors import EraserError, SettingsError
from worker.receipts.periodic import Periodic
from worker.webhooks.message import body
from worker.webhooks.sender import Result, Sender

log = logging.getLogger(__name__)

EVERY_S = 1.0
IDLE_S = 5.0  # where there is no endpoint, until it looks whether one was made
RECORDED_S: Final = 22 * 3600.0  # events are written down for so long at least, or a day again: see `lua/fan_out.lua`
PAUSE_S = 1.0  # after a failure, until this worker tries that endpoint again
WIDEST: Final = 8  # attempts at one endpoint at the same time
SECRETS_S: Final = 60.0  # until it looks for secrets again that it could not read
LONGEST_WHY: Final = 300


@dataclass
class _Queue:
    """What goes to one endpoint. Changed under the lock of the thread that sends."""

    endpoint: Endpoint
    sender: Sender
    width: int = WIDEST
    attempts: int = 0  # under way
    more: bool = False  # as many were due as there was room for
    not_before: float = 0.0  # by `time.monotonic`
    last: str = ""  # the account that was served last: the next turn begins after it
    problem: str = ""  # with its settings

    @property
    def room(self) -> int:
        return max(0, self.width - self.attempts) if time.monotonic() >= self.not_before else 0

    def failed(self) -> None:
        self.width, self.not_before = 1, time.monotonic() + PAUSE_S


class Deliverer(Periodic):
    """The loop, and the attempts under way."""

    def __init__(self, app: AppContext) -> None:
        super().__init__("deliverer")
        self._app = app
        self._lock = threading.Lock()
        self._ended = threading.Condition(self._lock)
        self._queues: dict[str, _Queue] = {}
        self._queues = self._made(app.settings.webhooks)
        self._known = False  # those of the ledger, too
        self._problems: dict[tuple[str, str, str], str] = {}  # (account, endpoint, step) -> what was logged last

    def turn(self) -> float:
        """One round over all accounts. The trouble of one account, or of one endpoint, is that one's alone."""
        with self._apart("", "", "endpoints"):
            try:
                self._queues = self._made(endpoints.known(self._app))
            except WrongKind:  # another program spoilt what is kept: those of the file go on
                self._queues, self._known = self._made(self._app.settings.webhooks), True
                raise
            self._known = True
        with self._apart("", ""):
            if not self._queues:
                return IDLE_S
            here = reachable(self._app.redis, self._app.settings.accounts, self._app.keys)
            accounts = [account for account in self._app.settings.accounts if account in here]
            found = deliveries.heads(self._app.redis, accounts, list(self._queues), self._app.keys)
            due = {account: self._fan_out(account, found[account]) for account in accounts}
            for queue in self._queues.values():
                self._serve(queue, due)
        return EVERY_S

    def _made(self, known: Mapping[str, Endpoint]) -> dict[str, _Queue]:
        """A queue for each endpoint that is on; one that changed has a new one."""
        made = {}
        for name, endpoint in known.items():
            if not endpoint.on:
                continue
            queue = self._queues.get(name)
            if queue is None or queue.endpoint != endpoint:
                queue = _Queue(endpoint, Sender(endpoint, self._app.environ, self._app.settings.network))
            made[name] = queue
        return made

    def stop(self) -> None:
        """End, and give the attempts under way a moment. Those that take longer are made again by another worker."""
        super().stop()
        with self._ended:
            self._ended.wait_for(lambda: not any(queue.attempts for queue in self._queues.values()), timeout=5)

    @contextmanager
    def _apart(self, account: str, endpoint: str, step: str = "") -> Iterator[None]:
        """An error in here is logged when it is a new one, and stops nothing else."""
        key = (account, endpoint, step)
        about = lean({"account": account or None, "endpoint": endpoint or None})
        try:
            yield
            self._problems.pop(key, None)
        except (redis.RedisError, EraserError) as error:
            if self._problems.get(key) != str(error):
                self._problems[key] = str(error)
                log.warning("webhook.waits", extra=about | {"error": str(error)})
        except Exception:  # the thread must survive any internal error
            log.exception("webhook.fault", extra=about)

    def _fan_out(self, account: str, head: Head) -> Mapping[str, float]:
        """Make deliveries of the account's events. Returns when the next one of each endpoint is due (ms).

        Not before all endpoints were known once: an event that is taken is lost to those that are not named.
        """
        due = head.due
        if not self._known:
            return due
        with self._apart(account, ""):
            events = head.events or head.recorded_until < (self._app.now().timestamp() + RECORDED_S) * 1000
            while events and not self._stop.is_set():
                taken = deliveries.fan_out(self._app.ledger(account), self._wanted(account))
                events = taken == deliveries.EVENTS_AT_ONCE
                if taken:
                    due = dict.fromkeys(self._queues, 0.0)
        return due

    def _wanted(self, account: str) -> list[Wanted]:
        """What each endpoint wants of an account: one with projects receives what is about the accounts of those only.
        A project of no account is nobody's.
        """
        owners = self._app.settings.owners
        wanted = []
        for queue in self._queues.values():
            named = queue.endpoint.projects
            whole = not named or account in {owners.get(project, DEFAULT) for project in named}
            wanted.append(Wanted(queue.endpoint.name, queue.endpoint.events, named or None, whole))
        return wanted

    def _serve(self, queue: _Queue, due: Mapping[str, Mapping[str, float]]) -> None:
        """Send what is due at one endpoint. Accounts take turns: where few attempts are made none waits for ever."""
        name, accounts = queue.endpoint.name, list(due)
        first = accounts.index(queue.last) + 1 if queue.last in due else 0
        until = (self._app.now().timestamp() + 1.0) * 1000
        queue.more = False
        for account in accounts[first:] + accounts[:first]:
            if due[account].get(name, math.inf) <= until:
                with self._apart(account, name):
                    self._send(self._app.ledger(account), queue)

    def _send(self, ledger: Ledger, queue: _Queue) -> None:
        with self._lock:
            room = queue.room
            queue.attempts += room  # reserved: other attempts end meanwhile
        taken: list[Taken] = []
        try:
            taken = deliveries.take(ledger, queue.endpoint.name, room) if room else []
        finally:
            with self._lock:
                queue.attempts -= room - len(taken)
                queue.more |= len(taken) == room
        if taken:
            queue.last = ledger.account
        for number, one in enumerate(taken):
            thread = threading.Thread(target=self._attempt, args=(ledger, queue, one), name="webhook", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:  # this system has no more threads: their leases end, and somebody tries again
                with self._lock:
                    queue.attempts -= len(taken) - number
                    queue.failed()
                raise EraserError(f"{error}: what was taken is sent a minute later") from None

    def _attempt(self, ledger: Ledger, queue: _Queue, taken: Taken) -> None:
        good = False
        try:
            with self._apart(ledger.account, queue.endpoint.name):
                good = self._deliver(ledger, queue, taken)
        finally:
            with self._ended:
                queue.attempts -= 1
                if good:
                    queue.width, queue.not_before = min(WIDEST, queue.width * 2), 0.0
                else:
                    queue.failed()
                self._ended.notify_all()
                if queue.more and good:
                    self.soon()

    def _deliver(self, ledger: Ledger, queue: _Queue, taken: Taken) -> bool:
        """Make one attempt and record it. Returns whether the endpoint has it."""
        name, account = queue.endpoint.name, ledger.account
        about = {"account": account, "endpoint": name, "id": taken.id, "type": taken.event}
        if taken.event not in (*EventType, TEST):  # a worker of a later version knows what is to be said
            why = "not sent: its event is of a later version"
            deliveries.settle(ledger, name, taken, status=None, ms=0, why=why, used=False, delay_s=SECRETS_S)
            return True
        try:
            message = body(taken.event, account, taken.at, taken.about)
            result = queue.sender.send(taken.id, message, lambda: self._app.now().timestamp())
            queue.problem = ""
        except SettingsError as error:  # ours to put right: it waits, and uses no attempt
            if queue.problem != str(error):
                queue.problem = str(error)
                log.error("webhook.waits", extra=about | {"error": str(error)})
            why = f"not sent: {' '.join(error.reason.split())}"[:LONGEST_WHY]
            deliveries.settle(ledger, name, taken, status=None, ms=0, why=why, used=False, delay_s=SECRETS_S)
            return False
        except Exception:  # it would be the same at each lease, for ever: this attempt counts
            log.exception("webhook.fault", extra=about)
            result = Result(None, 0, "an internal error: see the worker's log")
        delay = None
        if not result.ok and not result.refused:
            chance = random.random()  # noqa: S311 - jitter
            used, later = taken.failed + 1, result.retry_after_s
            delay = self._app.schedule.after_failure(used, random=chance, retry_after_s=later)
        state = deliveries.settle(
            ledger, name, taken, status=result.status, ms=result.ms, why=result.why, delay_s=delay
        )
        if not result.ok:
            event = "webhook.dead" if state == "dead" else "webhook.failed"
            log.warning(event, extra=about | {"status": result.status, "error": result.why, "ms": result.ms})
        return result.ok
