"""The executor: takes the most urgent deletion that is due and allowed now, makes the call, settles, takes the next.

    take ──lease──▶ attempt ──settlement──▶ take (settles and leases in one move) ──▶ … until nothing is due,
      │                                                                               its seconds have passed,
      └─wait─▶ sleep until the slot, ask again (nothing was reserved)                 or the worker stops

An executor may die between any two lines: the lease runs out and the deletion is rescued.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from worker.config.clock import elapsed
from worker.execution.key_budget import KeyBlocked
from worker.execution.settlement_log import log_settled
from worker.ledger.deletions import Ledger
from worker.ledger.types import GateSignal, Lease, PolicyText, Settlement, TakeResult, Trial, Tried
from worker.lookups.lookups import Lookups
from worker.lookups.sightings import Sightings, View
from worker.metastudio.client import Client
from worker.metastudio.response import Listing, Response, TransportFailure
from worker.metastudio.targets.adapter import Row
from worker.model.errors import EraserError
from worker.retention.policy_file import PolicyFile
from worker.retention.revalidation import Revalidation
from worker.rules import gate_signals
from worker.rules.backoff import Backoff
from worker.rules.classify import ResponseKind, classify, outcome_unknown
from worker.rules.outcome import OutcomeRules, sighting

log = logging.getLogger(__name__)

BUDGET_S = 3.0  # so that accounts take turns; a wake-up costs Celery as much as five deletions
MARGIN_S = 0.5  # what must be left of a lease beyond the longest call
MOMENT_S = 0.25  # between a take and its call no last check is needed for so long; a slot is at most 20 ms ahead


@dataclass(slots=True)
class Executor:
    """One executor of one account. `notify` starts another one; `stopping` is set when the worker has to stop."""

    ledger: Ledger
    remote: Client
    key: Callable[[], str]
    schedule: Backoff
    worker: str
    call_deadline_s: float
    notify: Callable[[str], object]
    stopping: threading.Event
    still_meant: Revalidation = field(default_factory=lambda: Revalidation(PolicyFile(None, str)))
    sightings: Sightings = field(default_factory=Sightings)
    ours: Callable[[str], bool] = lambda _: True  # whether the settings still give a project to this account
    home: str | None = None  # the account's own project, whose list is requested as a probe of a closed gate
    budget_s: float = BUDGET_S
    random: Callable[[], float] = random.random
    _lease_ends: float = 0.0  # of the current lease, by `elapsed`

    def work(self, wakeup: str | None = None) -> TakeResult:
        """Work until there is nothing to do or the time is used up. Returns the last take.

        Raises `Unreachable`, and `SettingsError` if a credential is missing; everything is recorded then.
        """
        ends = time.monotonic() + self.budget_s
        settlement: Settlement | None = None
        tried: Tried | None = None
        while True:
            key = self._key_after(settlement)
            want = not self.stopping.is_set() and time.monotonic() < ends
            result = self._take(key, settlement, want=want, wakeup=wakeup, tried=tried)
            wakeup, settlement, tried = None, None, None
            if result.wakeup:
                self.notify(result.wakeup)
            if result.lease:
                rules = OutcomeRules(self.schedule, key, self.random())
                self._wait_for_slot(result.lease)
                settlement = self.attempt(result.lease, rules)
            elif result.trial:
                tried = self._try(result.trial, key)
            elif result.wait_s is not None:
                self.stopping.wait(result.wait_s)
            else:
                return result

    def _take(
        self,
        key: str,
        settlement: Settlement | None,
        *,
        want: bool,
        wakeup: str | None = None,
        tried: Tried | None = None,
    ) -> TakeResult:
        result = self.ledger.take(
            worker=self.worker,
            key=key,
            settlement=settlement,
            want=want,
            wakeup=wakeup,
            policy_text=self.still_meant.policy_text() if want else None,
            tried=tried,
            until_recorded=lambda: True,
        )
        if settlement and (settlement.attempt or settlement.event):
            log_settled(self.ledger.account, settlement, result.settled)
        return result

    def _key_after(self, settlement: Settlement | None) -> str:
        """The fingerprint of the key in use. The last answer is recorded even if there is no key any more."""
        try:
            return self.key()
        except EraserError:
            if settlement:
                self._take("", settlement, want=False)
            raise

    def _try(self, trial: Trial, key: str) -> Tried:
        """Request one list as a probe: may a closed gate open, and is this key valid? Never raises."""
        project = self.home if trial.own and self.home else trial.project_id
        if project is None:
            return Tried(trial.name, "", GateSignal("fail", key=key, why="no project is known to ask for"), trial.kind)
        try:
            listing = self._ask(trial, project)
            signal = gate_signals.of_listing(listing, trial, key)
        except KeyBlocked:  # its record says so, and the account's gate was told
            signal = GateSignal("none", key=key)
        except EraserError as error:
            signal = GateSignal("fail", key=key, why=str(error)[:200])
        except Exception as error:
            log.exception("gate.not_tried", extra={"account": self.ledger.account})
            signal = GateSignal("fail", key=key, why=f"internal error: {type(error).__name__}")
        log.info("gate.tried", extra={"account": self.ledger.account, "outcome": signal.kind, "error": signal.why})
        return Tried(trial.name, project, signal, trial.kind)

    @staticmethod
    def _wait_for_slot(lease: Lease) -> None:
        """Redis's clock was read somewhere between our question and its answer; the middle is assumed."""
        if lease.ahead_s:
            time.sleep(max(0.0, lease.ahead_s - (elapsed() - lease.taken) / 2))

    def attempt(self, lease: Lease, rules: OutcomeRules) -> Settlement:
        """One attempt under a lease. Never raises: an internal error is a failed attempt."""
        self._lease_ends = lease.expires
        try:
            return self._attempt(lease, rules)
        except KeyBlocked:  # it was refused in the meantime: nothing was sent
            return rules.give_back(lease)
        except EraserError as error:  # before anything was sent: code after a DELETE catches its own errors
            log.error(
                "deletion.postponed", extra={"account": self.ledger.account, **lease.ref.for_log(), "error": str(error)}
            )
            return rules.unsendable(lease, str(error))
        except Exception as error:
            return self._our_fault(lease, rules, error, TransportFailure.NOT_SENT)

    def _our_fault(self, lease: Lease, rules: OutcomeRules, error: Exception, failure: TransportFailure) -> Settlement:
        log.exception("deletion.postponed", extra={"account": self.ledger.account, **lease.ref.for_log()})
        ours = f"internal error: {type(error).__name__}"
        return rules.failed(lease, Response(None, failure, None, ours, None, 0))

    def _attempt(self, lease: Lease, rules: OutcomeRules) -> Settlement:
        if not self.ours(lease.ref.project_id):
            self.ledger.strays.add(lease.ref.project_id)
            return rules.give_back(lease)
        if not self._covers_a_call(lease):
            return rules.give_back(lease)
        if lease.app_user is not None:
            self.sightings.note_users(lease.ref.project_id, "named")
        if not (lease.lookup_count or lease.cancel_requested or lease.owner_lookup or lease.policies):
            return self._delete(lease, rules)
        doubtful = lease.absent_once or lease.outcome_unknown or lease.empty_lookup_count > 0
        looked = self._lookups(lease, rules.key).find(
            lease.ref.id, listed=lease.listed, has_slot=True, doubtful=doubtful
        )
        settled = rules.after_look(lease, looked)
        if settled is not None or looked.row is None:
            return settled or rules.give_back(lease)
        policy_text = self.still_meant.policy_text() if lease.policies else None  # read first: a later change is newer
        if why := self._no_longer_meant(lease, looked.row):
            return replace(rules.unwanted(lease, looked, why), policy_text=policy_text)
        settled = self._delete(replace(lease, lookup_count=0, listed=True), rules, looked.row, policy_text)
        return replace(settled, fields=sighting(looked) | settled.fields)

    def _no_longer_meant(self, lease: Lease, row: Row) -> str | None:
        """Why none of its policies covers the job any more; None: one does, or somebody else requested it."""
        if not lease.policies:
            return None
        now = datetime.fromtimestamp(lease.redis_ms / 1000, UTC)
        return self.still_meant(lease.policies, lease.ref.project_id, row, now)

    def _may_leave(self, lease: Lease, rules: OutcomeRules, row: Row | None, policy_text: PolicyText | None) -> bool:
        """The last check before a DELETE. It asks the ledger only if something happened between the take and now."""
        if lease.unsent or elapsed() - lease.taken > MOMENT_S:
            owner = self.ledger.users.hashed(row.app_user_id) if row and lease.owner_lookup else None
            started = elapsed()
            if not self.ledger.confirm(lease, key=rules.key, owner=owner, policy_text=policy_text):
                return False
            self._lease_ends = started + self.ledger.policy.lease / 1000
        return self._covers_a_call(lease)

    def _delete(
        self, lease: Lease, rules: OutcomeRules, row: Row | None = None, policy_text: PolicyText | None = None
    ) -> Settlement:
        """One DELETE. `row`: the result of a lookup just before; `policy_text`: the policies that were asked."""
        no_token = self.remote.ready(lease.ref.project_id)
        if no_token is not None:
            return rules.without_token(lease, no_token)
        if not self._may_leave(lease, rules, row, policy_text):
            return rules.give_back(lease)
        signed_at = self._signed_at(lease)
        try:
            probing, user = lease.probe is not None, lease.app_user
            response = self.remote.delete(lease.ref, app_user=user, signed_at=signed_at, quota=probing)
            return rules.without_token(lease, response) if response.of_iam else self._explain(lease, rules, response)
        except EraserError:  # nothing was sent
            raise
        except Exception as error:  # it may have been sent
            return self._our_fault(lease, rules, error, TransportFailure.GARBLED)

    def _explain(self, lease: Lease, rules: OutcomeRules, response: Response) -> Settlement:
        """An answer that needs a lookup gets it, if the rate of lookups and the lease allow."""
        match classify(response):
            case ResponseKind.CREDENTIALS if self.remote.renew(response):
                return rules.renewed(lease, response)
            case ResponseKind.FORBIDDEN:
                # without the app user: if only the app user is forbidden, the project is not at fault
                control = self._lookups(replace(lease, app_user=None), rules.key).ask_in_turn(rows=1)
                return rules.after_control(lease, response, control.response)
            case ResponseKind.ASK | ResponseKind.FAILED as kind if kind is ResponseKind.ASK or self._may_be_gone(
                lease, response
            ):
                looked = self._lookups(lease, rules.key).find(lease.ref.id, listed=lease.listed)
                return rules.after_asking(lease, response, looked)
            case _:
                return rules.after_delete(lease, response)

    def _may_be_gone(self, lease: Lease, response: Response) -> bool:
        """Look up from the second failure on: a server may answer 500 for a job that no longer exists."""
        return response.status is not None and lease.outcome_unknown and outcome_unknown(response)

    def _lookups(self, lease: Lease, key: str) -> Lookups:
        """Lookups under the lease, with the same key and app user as the DELETE."""
        return Lookups(
            self.remote,
            self.ledger,
            self.sightings,
            View(key, lease.ref.project_id, lease.app_user, lease.ref.kind),
            pause=self.stopping.wait,
            time_left=lambda: self._time_left(lease),
            signed_at=lambda: self._signed_at(lease),
        )

    def _ask(self, trial: Trial, project_id: str) -> Listing:
        """The probe's list; repeated once if only the token had expired."""

        def once() -> Listing:
            signed_at = self._signed_at(trial)
            return self.remote.ask(project_id, id=None, kind=trial.kind, rows=1, signed_at=signed_at, quota=True)

        listing = once()
        refused = classify(listing.response) is ResponseKind.CREDENTIALS
        return once() if refused and self.remote.renew(listing.response) else listing

    def _time_left(self, lease: Lease) -> float:
        """Seconds for a lookup; if a call would not end in time, the lease is renewed."""
        self._covers_a_call(lease)
        return self._left_s() - MARGIN_S

    def _covers_a_call(self, lease: Lease) -> bool:
        """Whether a call would end before the lease does; if not, the lease is renewed."""
        if self._left_s() >= self.call_deadline_s + MARGIN_S:
            return True
        started = elapsed()
        if self.ledger.renew(lease):
            self._lease_ends = started + self.ledger.policy.lease / 1000
        return self._left_s() >= self.call_deadline_s + MARGIN_S

    def _left_s(self) -> float:
        return self._lease_ends - elapsed()

    def _signed_at(self, under: Lease | Trial) -> datetime | None:
        """MetaStudio's time if known; None: use this machine's clock."""
        if under.skew_ms is None:
            return None
        passed = (elapsed() - under.taken) * 1000
        now = datetime.fromtimestamp((under.redis_ms + passed + under.skew_ms) / 1000, UTC)
        self.remote.note_time(now, (under.skew_ago_ms + passed) / 1000)
        return now
