"""The executor: takes the most urgent deletion that is due and allowed now, makes the call, settles, takes the next.

    take ──lease──▶ attempt ──settlement──▶ take (settles and leases in one move) ──▶ … until nothing is due,
      │                                                                               its seconds have passed,
      └─wait─▶ sleep until the slot, ask again (nothing was reserved)                 or the worker stops

Where calls follow each other closely one take serves several executors: see `worker.execution.prefetch`.

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
from typing import Any

from worker.config.clock import elapsed
from worker.execution import tracing
from worker.execution.inventory import Found, InventoryTaker, next_try_s
from worker.execution.key_budget import KeyBlocked
from worker.execution.prefetch import Prefetch, Result
from worker.execution.trial import signing_time, try_closed
from worker.execution.turns import Turns
from worker.ledger.deletions import Ledger
from worker.ledger.types import Lease, PolicyText, Settlement, TakeResult, Tried
from worker.lookups.lookups import Lookups
from worker.lookups.sightings import Sightings, View
from worker.metastudio.client import Client
from worker.metastudio.response import Response, TransportFailure
from worker.metastudio.targets.adapter import Row
from worker.metastudio.targets.registry import adapter_of
from worker.model.erasure import Related
from worker.model.errors import EraserError
from worker.retention.policy_file import PolicyFile
from worker.retention.revalidation import Revalidation
from worker.rules.backoff import Backoff
from worker.rules.classify import ResponseKind, classify, outcome_unknown
from worker.rules.outcome import OutcomeRules, sighting
from worker.rules.settlements import with_erasure

log = logging.getLogger(__name__)

BUDGET_S = 3.0  # so that accounts take turns; a wake-up costs Celery as much as five deletions
MARGIN_S = 0.5  # what must be left of a lease beyond the longest call
MOMENT_S = 0.25  # between a take and its call no last check is needed for so long; a slot is at most 150 ms ahead
SAME_MOMENT_S = 0.001  # a wait so short costs more than it is worth; the limit leaves more room than that
CHECK_S = 0.02  # before its slot: then the last check is made, so that the slot is not missed by it (CHECK in Lua)


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
    related: str = Related.LEAVE.value  # what is done about what a job leaves behind, where its request does not say
    first_look_s: float = 60.0  # after the end of a job's deletion
    to_bin: bool = False  # assets only go into the recycle bin
    budget_s: float = BUDGET_S
    random: Callable[[], float] = random.random
    prefetch: Prefetch = field(default_factory=Prefetch)  # of all executors of this account in this process
    _lease_ends: float = 0.0  # of the current lease, by `elapsed`
    _slot_at: float = 0.0  # when its DELETE may leave

    def work(self, wakeup: str | None = None) -> TakeResult:
        """Work until there is nothing to do or the time is used up. Returns the last take.

        Raises `Unreachable`, and `SettingsError` if a credential is missing; everything is recorded then.
        """
        turns = Turns(self.ledger, self.worker, self.key, self.stopping, self.still_meant, self.related, self.prefetch)
        with self.prefetch:
            return self._work(turns, wakeup, time.monotonic() + self.budget_s)

    def _work(self, turns: Turns, wakeup: str | None, ends: float) -> TakeResult:
        done: Result | None = None
        tried: Tried | None = None
        waited = False  # for a slot for which nobody else comes: it is used though the time is over meanwhile
        while True:
            key = turns.key_after(done)
            in_time = time.monotonic() < ends
            want = not self.stopping.is_set() and (in_time or waited)
            result, slot = turns.next(key, done, want=want, wakeup=wakeup, tried=tried)
            wakeup, done, tried, waited = None, None, None, False
            if result.wakeup:
                self.notify(result.wakeup)
            if slot:
                rules = OutcomeRules(self.schedule, key, self.random())
                self._slot_at = slot.at
                if not slot.lease.inventory:
                    self._wait_for_slot()
                with tracing.attempt(self.ledger.account, slot.lease) as became:
                    became.append(settlement := self.attempt(slot.lease, rules))
                done = Result(settlement, tracing.ids_of_attempt())
            elif result.trial:
                tried = try_closed(self.remote, result.trial, key=key, home=self.home, account=self.ledger.account)
            elif result.wait_s is not None:
                self.stopping.wait(result.wait_s)
                waited = in_time
            else:
                return result

    def _wait_for_slot(self, *, but_s: float = 0.0) -> None:
        if (left_s := self._slot_at - but_s - elapsed()) > SAME_MOMENT_S:
            time.sleep(left_s)

    def attempt(self, lease: Lease, rules: OutcomeRules) -> Settlement:
        """One attempt under a lease. Never raises: an internal error is a failed attempt."""
        self._lease_ends = lease.expires
        try:
            return with_erasure(self._attempt(lease, rules), lease, self.first_look_s)
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
        if not (lease.lookup_count or lease.cancel_requested or lease.owner_lookup or lease.policies or lease.parent):
            return self._delete(lease, rules)
        doubtful = lease.absent_once or lease.outcome_unknown or lease.empty_lookup_count > 0
        looked = self._lookups(lease, rules.key).find(
            lease.ref.id, listed=lease.listed, has_slot=True, doubtful=doubtful
        )
        settled = rules.not_to_be_deleted(lease, looked, to_bin=self.to_bin) or rules.after_look(lease, looked)
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

    def _confirmed(
        self, lease: Lease, rules: OutcomeRules, row: Row | None, policy_text: PolicyText | None, found: Found | None
    ) -> Lease | None:
        """The last check before a DELETE. It asks the ledger only if something happened between the take and now."""
        if lease.unsent or elapsed() - lease.taken > MOMENT_S:
            owner = self.ledger.users.hashed(row.app_user_id) if row and lease.owner_lookup else None
            if found is not None and found.shown:  # a hold of its app user covers what the job leaves behind
                owner = self.ledger.users.hashed(found.owner)
            inventory = found.as_option(lease.related or "") if found else None
            self._wait_for_slot(but_s=CHECK_S)
            how: dict[str, Any] = {"owner": owner, "policy_text": policy_text, "inventory": inventory}
            confirmed = self.ledger.confirm(lease, key=rules.key, ahead_s=max(0.0, self._slot_at - elapsed()), **how)
            if confirmed is None:
                return None
            lease, self._lease_ends = confirmed, confirmed.expires
            self._slot_at = elapsed() + (lease.ahead_s if lease.unsent else 0.0)
            self._wait_for_slot()
        return lease if self._covers_a_call(lease) else None

    def _delete(
        self, lease: Lease, rules: OutcomeRules, row: Row | None = None, policy_text: PolicyText | None = None
    ) -> Settlement:
        """One DELETE. `row`: the result of a lookup just before; `policy_text`: the policies that were asked."""
        no_token = self.remote.ready(lease.ref.project_id)
        if no_token is not None:
            return rules.without_token(lease, no_token)
        found = self._inventory(lease) if lease.inventory else None
        if found and found.problem and (wait_s := next_try_s(lease, found.problem)) is not None:
            return rules.inventory_later(lease, found.problem, wait_s)
        prepared_ms = (elapsed() - lease.taken) * 1000 if found else None
        confirmed = self._confirmed(lease, rules, row, policy_text, found)
        if confirmed is None:
            return rules.give_back(lease)
        settled = self._call(confirmed, rules, row)
        return settled if prepared_ms is None else replace(settled, prepared_ms=prepared_ms)

    def _inventory(self, lease: Lease) -> Found:
        signed_at, time_left = (lambda: signing_time(self.remote, lease)), (lambda: self._time_left(lease))
        return InventoryTaker(self.remote, self.ledger, self.stopping.wait, signed_at, time_left).of(lease)

    def _call(self, lease: Lease, rules: OutcomeRules, row: Row | None) -> Settlement:
        """The DELETE itself, and before it the change of state that its kind may need."""
        how: dict[str, Any] = {"app_user": lease.app_user, "signed_at": signing_time(self.remote, lease)}
        first = adapter_of(lease.ref.kind).update_first.get(row.state) if row else None
        try:
            if first is not None:
                response = self.remote.update(lease.ref, first, **how)
                if classify(response) is not ResponseKind.DELETED:
                    return self._answered(lease, rules, response)
            if self.to_bin and not lease.for_good:
                how["to_bin"] = True
            response = self.remote.delete(lease.ref, quota=lease.probe is not None or lease.experiment, **how)
            return self._answered(lease, rules, response)
        except EraserError:  # nothing was sent
            raise
        except Exception as error:  # it may have been sent
            return self._our_fault(lease, rules, error, TransportFailure.GARBLED)

    def _answered(self, lease: Lease, rules: OutcomeRules, response: Response) -> Settlement:
        return rules.without_token(lease, response) if response.of_iam else self._explain(lease, rules, response)

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
            signed_at=lambda: signing_time(self.remote, lease),
        )

    def _time_left(self, lease: Lease) -> float:
        """Seconds for a lookup; if a call would not end in time, the lease is renewed."""
        self._covers_a_call(lease)
        return self._lease_ends - elapsed() - MARGIN_S

    def _covers_a_call(self, lease: Lease) -> bool:
        """Whether a call would end before the lease does; if not, the lease is renewed."""
        if enough := self._lease_ends - elapsed() >= self.call_deadline_s + MARGIN_S:
            return enough
        started = elapsed()
        if self.ledger.renew(lease):
            self._lease_ends = started + self.ledger.policy.lease / 1000
        return self._lease_ends - elapsed() >= self.call_deadline_s + MARGIN_S
