"""A hand: takes the most urgent deletion that is due and allowed now, makes the call, settles, takes the next.

    take ──lease──▶ attempt ──settlement──▶ take (settles and leases in one move) ──▶ … until nothing is due,
      │                                                                               its seconds have passed,
      └─wait─▶ sleep until the slot, ask again (nothing was reserved)                 or the worker stops

A hand may die between any two lines: the lease runs out and the deletion is rescued.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Protocol

from worker import lessons
from worker.budget import KeyRests
from worker.clock import elapsed
from worker.errors import EraserError
from worker.ledger.moves import Book, Lease, Lesson, Settlement, Trial, Tried, Turn
from worker.ledger.store import Ledger
from worker.lookups.lookups import Lookups
from worker.lookups.lookups import Remote as Asks
from worker.lookups.sights import Sights, View
from worker.meaning import Meaning, meaning, outcome_unknown
from worker.metastudio.answer import Answer, JobRow, Listing, Silence
from worker.outcome import Judge, sighting
from worker.schedule import Schedule

log = logging.getLogger(__name__)

BUDGET_S = 3.0  # a hand's working time, so that accounts take turns; a doorbell costs Celery as much as five deletions
MARGIN_S = 0.5  # what must be left of a lease beyond the longest call
MOMENT_S = 0.25  # between a take and its call nobody need be heard for so long; a slot is at most 20 ms ahead


class Remote(Asks, Protocol):
    """What a hand needs of `worker.metastudio.client.Client`, beyond what lookups need."""

    def delete(
        self, project_id: str, job_id: str, *, app_user: str | None = None, signed_at: datetime | None = None
    ) -> Answer:
        """DELETE one job."""

    def ready(self, project_id: str) -> Answer | None:
        """Fetch what the next call needs, a token say. None: it can go; otherwise what IAM answered instead."""

    def told(self, now: datetime, ago_s: float) -> None:
        """What time it is by MetaStudio's clock, as somebody else found out so long ago."""


class StillMeant(Protocol):
    """What a hand needs of `worker.retention`."""

    def book(self) -> Book | None:
        """Which text of the policies it goes by; None: no opinion, so nothing is taken that only policies ask for."""

    def __call__(self, policies: Sequence[str], project_id: str, row: JobRow, now: datetime) -> str | None:
        """Why none of the policies means this job any more; None: one still does."""


class NoPolicies:
    """Where there is no file of policies: no opinion."""

    def book(self) -> Book | None:
        return None

    def __call__(self, policies: Sequence[str], project_id: str, row: JobRow, now: datetime) -> str | None:  # noqa: ARG002
        return f"nothing is known of policy {policies[0]}"


@dataclass(slots=True)
class Hand:
    """One hand of one account. `ring` calls another hand; `stopping` is set when the worker has to go."""

    ledger: Ledger
    remote: Remote
    key: Callable[[], str]
    schedule: Schedule
    worker: str
    call_deadline_s: float
    ring: Callable[[str], None]
    stopping: threading.Event
    still_meant: StillMeant = field(default_factory=NoPolicies)
    sights: Sights = field(default_factory=Sights)
    ours: Callable[[str], bool] = lambda _: True  # whether the settings still give a project to this account
    home: str | None = None  # the account's own project, whose list is asked for to try what is closed
    budget_s: float = BUDGET_S
    random: Callable[[], float] = random.random
    settled: dict[str, int] = field(default_factory=dict)
    _lease_ends: float = 0.0  # of the lease at hand, by `elapsed`

    def work(self, bell: str | None = None) -> Turn:
        """Work until there is nothing to do or the budget is spent. Returns the last turn.

        Raises `Unreachable` when Redis is away and `SettingsError` when the credential is; everything is recorded then.
        """
        ends = time.monotonic() + self.budget_s
        settlement: Settlement | None = None
        tried: Tried | None = None
        while True:
            key = self._key_after(settlement)
            want = not self.stopping.is_set() and time.monotonic() < ends
            turn = self._take(key, settlement, want=want, bell=bell, tried=tried)
            bell, settlement, tried = None, None, None
            if turn.bell:
                self.ring(turn.bell)
            if turn.lease:
                judge = Judge(self.schedule, key, self.random())
                self._wait_for_slot(turn.lease)
                settlement = self.attempt(turn.lease, judge)
            elif turn.trial:
                tried = self._try(turn.trial, key)
            elif turn.wait_s is not None:
                self.stopping.wait(turn.wait_s)
            else:
                return turn

    def _take(
        self,
        key: str,
        settlement: Settlement | None,
        *,
        want: bool,
        bell: str | None = None,
        tried: Tried | None = None,
    ) -> Turn:
        turn = self.ledger.take(
            worker=self.worker,
            key=key,
            settlement=settlement,
            want=want,
            bell=bell,
            book=self.still_meant.book() if want else None,
            tried=tried,
            until_recorded=lambda: True,
        )
        if settlement and (settlement.attempt or settlement.event):
            state = log_settled(self.ledger.account, settlement, turn.settled)
            self.settled[state] = self.settled.get(state, 0) + 1
        return turn

    def _key_after(self, settlement: Settlement | None) -> str:
        """The fingerprint of the key in use. Where there is none any more, the last answer is recorded all the same."""
        try:
            return self.key()
        except EraserError:
            if settlement:
                self._take("", settlement, want=False)
            raise

    def _try(self, trial: Trial, key: str) -> Tried:
        """Ask for one harmless list: may what is closed open, and is this key good? Never raises."""
        project = self.home if trial.own and self.home else trial.project_id
        if project is None:
            return Tried(trial.name, "", Lesson("fail", key=key, why="no project is known to ask for"))
        try:
            listing = self._ask(trial, project)
            lesson = lessons.of_listing(listing, trial, key)
        except KeyRests:  # its record says so, and the account's gate knows
            lesson = Lesson("none", key=key)
        except EraserError as error:
            lesson = Lesson("fail", key=key, why=str(error)[:200])
        except Exception as error:
            log.exception("gate.not_tried", extra={"account": self.ledger.account})
            lesson = Lesson("fail", key=key, why=f"internal error: {type(error).__name__}")
        log.info("gate.tried", extra={"account": self.ledger.account, "outcome": lesson.kind, "error": lesson.why})
        return Tried(trial.name, project, lesson)

    @staticmethod
    def _wait_for_slot(lease: Lease) -> None:
        """Redis said when, somewhere between the question and its answer: in the middle."""
        if lease.ahead_s:
            time.sleep(max(0.0, lease.ahead_s - (elapsed() - lease.taken) / 2))

    def attempt(self, lease: Lease, judge: Judge) -> Settlement:
        """One attempt under a lease. Never raises: a fault of ours is a failed attempt."""
        self._lease_ends = lease.expires
        try:
            return self._attempt(lease, judge)
        except KeyRests:  # it was refused meanwhile: nothing was sent
            return judge.give_back(lease)
        except EraserError as error:  # before anything was sent: what comes after a DELETE catches its own
            log.error(
                "deletion.postponed",
                extra={"account": self.ledger.account, "job_id": lease.ref.job_id, "error": str(error)},
            )
            return judge.unsendable(lease, str(error))
        except Exception as error:
            return self._our_fault(lease, judge, error, Silence.NOT_SENT)

    def _our_fault(self, lease: Lease, judge: Judge, error: Exception, silence: Silence) -> Settlement:
        log.exception("deletion.postponed", extra={"account": self.ledger.account, "job_id": lease.ref.job_id})
        ours = f"internal error: {type(error).__name__}"
        return judge.failed(lease, Answer(None, silence, None, ours, None, 0))

    def _attempt(self, lease: Lease, judge: Judge) -> Settlement:
        if not self.ours(lease.ref.project_id):
            self.ledger.strays.add(lease.ref.project_id)
            return judge.give_back(lease)
        if not self._covers_a_call(lease):
            return judge.give_back(lease)
        if lease.app_user is not None:
            self.sights.note_users(lease.ref.project_id, "named")
        if not (lease.looks or lease.cancel_wanted or lease.who or lease.policies):
            return self._delete(lease, judge)
        doubtful = lease.absent_once or lease.unknown or lease.unseen > 0
        looked = self._lookups(lease, judge.key).find(
            lease.ref.job_id, seen=lease.seen, has_slot=True, doubtful=doubtful
        )
        settled = judge.after_look(lease, looked)
        if settled is not None or looked.row is None:
            return settled or judge.give_back(lease)
        book = self.still_meant.book() if lease.policies else None  # before it is read: what changes meanwhile is newer
        if why := self._no_longer_meant(lease, looked.row):
            return replace(judge.unwanted(lease, looked, why), book=book)
        settled = self._delete(replace(lease, looks=0, seen=True), judge, looked.row, book)
        return replace(settled, fields=sighting(looked) | settled.fields)

    def _no_longer_meant(self, lease: Lease, row: JobRow) -> str | None:
        """Why no policy that asked for the job means it any more; None: one does, or somebody else asked too."""
        if not lease.policies:
            return None
        now = datetime.fromtimestamp(lease.redis_ms / 1000, UTC)
        return self.still_meant(lease.policies, lease.ref.project_id, row, now)

    def _may_leave(self, lease: Lease, judge: Judge, row: JobRow | None, book: Book | None) -> bool:
        """The last check before a DELETE: asked of the ledger only where something lay between the take and now."""
        if lease.unsent or elapsed() - lease.taken > MOMENT_S:
            owner = self.ledger.users.hashed(row.app_user_id) if row and lease.who else None
            asked = elapsed()
            if not self.ledger.confirm(lease, key=judge.key, owner=owner, book=book):
                return False
            self._lease_ends = asked + self.ledger.policy.lease / 1000
        return self._covers_a_call(lease)

    def _delete(self, lease: Lease, judge: Judge, row: JobRow | None = None, book: Book | None = None) -> Settlement:
        """One DELETE. `row`: what a look has just shown; `book`: by which policies were asked."""
        no_token = self.remote.ready(lease.ref.project_id)
        if no_token is not None:
            return judge.without_token(lease, no_token)
        if not self._may_leave(lease, judge, row, book):
            return judge.give_back(lease)
        ref = lease.ref
        signed_at = self._signed_at(lease)
        try:
            answer = self.remote.delete(ref.project_id, ref.job_id, app_user=lease.app_user, signed_at=signed_at)
            return judge.without_token(lease, answer) if answer.of_iam else self._explain(lease, judge, answer)
        except EraserError:  # nothing was sent
            raise
        except Exception as error:  # it may have been sent
            return self._our_fault(lease, judge, error, Silence.GARBLED)

    def _explain(self, lease: Lease, judge: Judge, answer: Answer) -> Settlement:
        """An answer that needs another question gets it, if the pace of lookups and the lease allow."""
        match meaning(answer):
            case Meaning.CREDENTIALS if self.remote.renew(answer):
                return judge.renewed(lease, answer)
            case Meaning.FORBIDDEN:
                # without the app user: if that one is what is forbidden, it is no trouble of the project's
                control = self._lookups(replace(lease, app_user=None), judge.key).ask_in_turn(rows=1)
                return judge.after_control(lease, answer, control.answer)
            case Meaning.ASK | Meaning.FAILED as said if said is Meaning.ASK or self._may_be_gone(lease, answer):
                looked = self._lookups(lease, judge.key).find(lease.ref.job_id, seen=lease.seen)
                return judge.after_asking(lease, answer, looked)
            case _:
                return judge.after_delete(lease, answer)

    def _may_be_gone(self, lease: Lease, answer: Answer) -> bool:
        """A server that answers 500 for a job that is no more would never say so: ask, from the second failure on."""
        return answer.status is not None and lease.unknown and outcome_unknown(answer)

    def _lookups(self, lease: Lease, key: str) -> Lookups:
        """What may be asked under the lease, as the DELETE is sent: with this key, for this app user."""
        return Lookups(
            self.remote,
            self.ledger,
            self.sights,
            View(key, lease.ref.project_id, lease.app_user),
            pause=self.stopping.wait,
            time_left=lambda: self._time_left(lease),
            signed_at=lambda: self._signed_at(lease),
        )

    def _ask(self, trial: Trial, project_id: str) -> Listing:
        """The harmless list; and once more where only the token was too old."""

        def once() -> Listing:
            return self.remote.ask(project_id, job_id=None, rows=1, signed_at=self._signed_at(trial))

        listing = once()
        refused = meaning(listing.answer) is Meaning.CREDENTIALS
        return once() if refused and self.remote.renew(listing.answer) else listing

    def _time_left(self, lease: Lease) -> float:
        """Seconds for a question; where a call would not end in time, the lease begins anew."""
        self._covers_a_call(lease)
        return self._left_s() - MARGIN_S

    def _covers_a_call(self, lease: Lease) -> bool:
        """Whether a call would end before the lease does; where it would not, the lease begins anew."""
        if self._left_s() >= self.call_deadline_s + MARGIN_S:
            return True
        asked = elapsed()
        if self.ledger.renew(lease):
            self._lease_ends = asked + self.ledger.policy.lease / 1000
        return self._left_s() >= self.call_deadline_s + MARGIN_S

    def _left_s(self) -> float:
        return self._lease_ends - elapsed()

    def _signed_at(self, under: Lease | Trial) -> datetime | None:
        """MetaStudio's clock as far as we know it, or None for this machine's."""
        if under.skew_ms is None:
            return None
        passed = (elapsed() - under.taken) * 1000
        now = datetime.fromtimestamp((under.redis_ms + passed + under.skew_ms) / 1000, UTC)
        self.remote.told(now, (under.skew_ago_ms + passed) / 1000)
        return now


def log_settled(account: str, settlement: Settlement, became: str | None) -> str:
    """One line a deletion, with the event's name; nothing personal, nothing secret. Returns the state that it names."""
    state = became or settlement.to
    if state.startswith("late "):  # somebody else has the deletion now; what it is, its record says
        state = "stale_result"
    event = {"pending": "deletion.postponed", "dead": "deletion.died"}.get(state, f"deletion.{state}")
    said = settlement.attempt or settlement.event or {}
    level = logging.WARNING if state == "dead" else logging.INFO
    log.log(
        level,
        event,
        extra={
            "account": account,
            "job_id": settlement.ref.job_id,
            "outcome": said.get("outcome") or said.get("found"),
            "status": settlement.status,
            "code": settlement.code,
            "request_id": said.get("request_id"),
            "ms": settlement.ms or None,
            "cause": settlement.cause,
            "evidence": settlement.evidence,
        },
    )
    return state
