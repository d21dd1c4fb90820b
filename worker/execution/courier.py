"""Delivers webhooks: a thread in every worker whose settings have endpoints, behind and beside all deletions.

It makes deliveries of what is in the outbox, and sends what is due, each attempt in a thread of its own: an endpoint
that is slow or gone holds no more than `WIDEST` of them, and delays neither a deletion nor another endpoint. After a
failure one attempt at a time goes there, and none for a second, until one is accepted.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import redis

from worker.config.webhooks import Endpoint
from worker.execution.app_context import AppContext
from worker.ledger import deliveries
from worker.ledger.deletions import Ledger
from worker.ledger.deliveries import Taken, Wanted
from worker.ledger.reachable import reachable
from worker.model.errors import EraserError, SettingsError
from worker.receipts.periodic import Periodic
from worker.webhooks.message import body
from worker.webhooks.sender import Sender

log = logging.getLogger(__name__)

EVERY_S = 1.0
SAY_S: Final = 3600.0  # how often it says that somebody delivers: see `lua/fan_out.lua`
PAUSE_S = 1.0  # after a failure, until this worker tries that endpoint again
WIDEST: Final = 8  # attempts at one endpoint at the same time
SECRETS_S: Final = 60.0  # until it looks for secrets again that it could not read


@dataclass
class _Lane:
    """What goes to one endpoint. Changed under the courier's lock."""

    endpoint: Endpoint
    sender: Sender
    width: int = WIDEST
    flying: int = 0
    more: bool = False  # as many were due as there was room for
    not_before: float = 0.0  # by `time.monotonic`
    problem: str = field(default="")

    @property
    def room(self) -> int:
        return max(0, self.width - self.flying) if time.monotonic() >= self.not_before else 0


class Courier(Periodic):
    """The loop, and the attempts under way."""

    def __init__(self, app: AppContext) -> None:
        super().__init__("courier")
        self._app = app
        self._lock = threading.Lock()
        self._landed = threading.Condition(self._lock)
        self._lanes = {
            name: _Lane(endpoint, Sender(endpoint, app.environ, app.settings.network))
            for name, endpoint in app.settings.webhooks.items()
        }
        self._logged: dict[str, float] = {}  # account -> when it was logged, by this process's clock

    def turn(self) -> float:
        """One round over all accounts."""
        try:
            here = reachable(self._app.redis, self._app.settings.accounts, self._app.keys)
            found = deliveries.heads(self._app.redis, here, list(self._lanes), self._app.keys)
            for account in here:
                events, due = found.get(account, (False, {}))
                self._account(account, due, events=events)
        except (redis.RedisError, EraserError) as error:
            log.warning("webhook.waits", extra={"error": str(error)})
        except Exception:  # the thread must survive any internal error
            log.exception("webhook.fault")
        return EVERY_S

    def stop(self) -> None:
        """End, and give the attempts under way a moment. Those that take longer are made again by another worker."""
        super().stop()
        with self._landed:
            self._landed.wait_for(lambda: not any(lane.flying for lane in self._lanes.values()), timeout=5)

    def _account(self, account: str, due: Mapping[str, float], *, events: bool) -> None:
        ledger, now_s = self._app.ledger(account), self._app.now().timestamp()
        say = now_s - self._logged.get(account, 0.0) >= SAY_S
        while (events or say) and not self._stop.is_set():
            taken = deliveries.fan_out(ledger, self._wanted(account))
            self._logged[account], say = now_s, False
            events = taken == deliveries.EVENTS_AT_ONCE
            if taken:
                due = dict.fromkeys(self._lanes, 0.0)
        for name, at in due.items():
            if at <= (now_s + 1.0) * 1000:
                self._send(ledger, self._lanes[name])

    def _wanted(self, account: str) -> list[Wanted]:
        """What each endpoint wants of an account: one with projects hears of the accounts of those only."""
        owners = self._app.settings.account_of
        wanted = []
        for lane in self._lanes.values():
            named = lane.endpoint.projects
            whole = not named or account in {owners(project).name for project in named}
            wanted.append(Wanted(lane.endpoint.name, lane.endpoint.events, named or None, whole))
        return wanted

    def _send(self, ledger: Ledger, lane: _Lane) -> None:
        with self._lock:
            room = lane.room
            lane.flying += room  # reserved: other accounts come by, and attempts land
        taken: list[Taken] = []
        try:
            taken = deliveries.take(ledger, lane.endpoint.name, room) if room else []
        finally:
            with self._lock:
                lane.flying -= room - len(taken)
                lane.more = len(taken) == room
        for one in taken:
            threading.Thread(target=self._attempt, args=(ledger, lane, one), name="webhook", daemon=True).start()

    def _attempt(self, ledger: Ledger, lane: _Lane, taken: Taken) -> None:
        good = False
        try:
            good = self._deliver(ledger, lane, taken)
        except (redis.RedisError, EraserError) as error:  # its lease ends, and somebody tries again
            log.warning("webhook.waits", extra={"endpoint": lane.endpoint.name, "error": str(error)})
        except Exception:  # an internal error about one message must not stop the others
            log.exception("webhook.fault", extra={"endpoint": lane.endpoint.name, "id": taken.id})
        finally:
            with self._landed:
                lane.flying -= 1
                lane.width = min(WIDEST, lane.width * 2) if good else 1
                lane.not_before = 0.0 if good else time.monotonic() + PAUSE_S
                self._landed.notify_all()
                if lane.more and good:
                    self.soon()

    def _deliver(self, ledger: Ledger, lane: _Lane, taken: Taken) -> bool:
        """Make one attempt and record it. Returns whether the endpoint has it."""
        name, account = lane.endpoint.name, ledger.account
        about = {"account": account, "endpoint": name, "id": taken.id, "type": taken.event}
        try:
            message = body(taken.event, account, taken.at, taken.about)
            result = lane.sender.send(taken.id, message, lambda: self._app.now().timestamp())
            lane.problem = ""
        except SettingsError as error:  # ours to put right: it waits, and uses no attempt
            if lane.problem != str(error):
                lane.problem = str(error)
                log.error("webhook.waits", extra=about | {"error": str(error)})
            why = "not sent: its secrets cannot be read"
            deliveries.settle(ledger, name, taken, status=None, ms=0, why=why, used=False, delay_s=SECRETS_S)
            return False
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
