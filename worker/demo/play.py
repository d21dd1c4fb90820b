"""The steps of the demo, from the requests to the replay of the dead letters. Only MetaStudio is simulated."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from celery import Celery

from worker.config.durations import format_duration
from worker.demo import leftovers, scenario
from worker.demo.scenario import Part, RequestedBy, Then, requested
from worker.demo.stage import ACCOUNT, Stage
from worker.ledger.keys import OURS
from worker.ledger.records import AccountStatus, Deletion
from worker.ledger.types import Accepted
from worker.local.processes import raise_if_stopped
from worker.metastudio.client import Client
from worker.model.errors import EraserError
from worker.model.states import State, WaitingFor
from worker.model.target import Target
from worker.services.request import deletion_request, record
from worker.simulator import DEMO_PROJECT, OutageMode

PATIENCE_S = 75.0  # for the whole demo, in addition to the time that the rate needs
OPEN = (State.PENDING, State.RUNNING)


class Audience(Protocol):
    """Gets events and progress."""

    def report(self, what: str, text: str) -> None:
        """Report an event."""

    def progress(self, status: AccountStatus, jobs: int) -> None:
        """Report the progress; called a few times a second."""


class OutOfPatience(EraserError):
    """An expected event did not happen."""


@dataclass
class Play:
    """One run of the demo. Each method is a step; they are called in this order."""

    stage: Stage
    parts: list[Part]
    audience: Audience

    def __post_init__(self) -> None:
        self._until = time.monotonic() + PATIENCE_S + len(self.parts) / scenario.RATE
        self._progress_at = 0.0

    # -- preparation ---------------------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Add the jobs to the simulator, and what will go wrong with them."""
        simulator = self.stage.simulator
        rows: list[dict[str, object]] = [
            {"job_id": part.job_id, "state": part.trouble.state} for part in self.parts if part.trouble.exists
        ]
        rows += [{"job_id": f"job-{n:04d}-not-requested"} for n in range(1, scenario.BYSTANDERS + 1)]
        simulator.add_jobs(rows)
        leftovers.prepare(self.stage)
        for part in self.parts:
            if part.trouble.fault:
                simulator.fault(job_id=part.job_id, **part.trouble.fault)

    def request(self) -> None:
        """Request most deletions at once, before there is any worker."""
        first = [part for part in self.parts if part.trouble.requested in (RequestedBy.AT_START, RequestedBy.TWICE)]
        began = time.monotonic()
        self._request(first)
        ms = (time.monotonic() - began) * 1000
        self.audience.report("requested", f"{len(first)} deletions recorded in {ms:.0f} ms; there is no worker yet")
        again = self._request(requested(self.parts, RequestedBy.TWICE))
        same = sum(one.deduplicated for one in again)
        self.audience.report("merged", f"{same} second requests for the same jobs: one deletion each")
        withdrawn = requested(self.parts, RequestedBy.WITHDRAWN)
        self._request(withdrawn, after_s=86400.0)
        for _, state in self.stage.ledger.cancel(map(_ref, withdrawn), why="the person changed their mind"):
            if state != State.CANCELLED:
                raise OutOfPatience(f"a deletion that waits for its grace period could not be cancelled: {state}")
        self.audience.report("cancelled", f"{len(withdrawn)} deletions for tomorrow (--after 24h), before any call")

    # -- mid-run -------------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Start the worker; things go wrong while it works."""
        self.stage.worker.start()
        self.audience.report("worker", f"celery -A worker worker, process {self.stage.worker.pid}")
        self._wait(
            lambda: self._settled() > len(requested(self.parts, RequestedBy.WITHDRAWN)), "the worker's first deletion"
        )
        self._request(
            requested(self.parts, RequestedBy.ONCE_IT_WORKS), lane="user", deadline_s=scenario.SHORT_DEADLINE_S
        )
        self._other_side_moves_on(Then.DELETED_ELSEWHERE)
        self._after(0.15, self._request_of_a_person)
        self._after(0.20, self._request_of_a_producer)
        self._after(0.30, self._outage)
        self._after(0.50, self._kill_the_worker)
        self._request_with_leftovers()
        self._other_side_moves_on(Then.BECOMES_DELETABLE)
        self._wait(self._all_settled, "every deletion to finish")
        dead = self._states()[State.DEAD]
        self.audience.report("finished", f"every deletion is finished; {dead} are dead letters and need a person")

    def _request_of_a_person(self) -> None:
        (part,) = requested(self.parts, RequestedBy.BY_A_PERSON)
        waiting = self._states()[State.PENDING]
        self._request([part], lane="user", by="ticket-4711")
        record = self._settled_record(part)
        ms = (record.finished_at or 0) - record.requested_at
        self.audience.report(
            "user lane", f"a person's deletion overtook {waiting} others: {record.state} {ms:.0f} ms after the request"
        )

    def _request_of_a_producer(self) -> None:
        (part,) = requested(self.parts, RequestedBy.BY_A_PRODUCER)
        sent = self.stage.queries.now_ms()
        with Celery("somebody-elses-app", broker=self.stage.redis.broker_url, set_as_current=False) as app:
            app.send_task("eraser.delete", args=[DEMO_PROJECT, part.job_id], queue=OURS.requests, ignore_result=True)
            record = self._settled_record(part)
        ms = (record.finished_at or 0) - sent
        self.audience.report(
            "any producer", f'send_task("eraser.delete", …) of a plain Celery app: {record.state} {ms:.0f} ms later'
        )

    def _outage(self) -> None:
        for part in self.parts:
            if part.trouble.before_the_outage:
                self._settled_record(part)
        before, began = self._used(), time.monotonic()
        self.stage.simulator.outage(OutageMode.UNAVAILABLE)
        self.audience.report("outage", "MetaStudio answers 503 to everything")
        self._wait(lambda: self.stage.queries.gate().gate == WaitingFor.OUTAGE, "the gate to close")
        self.audience.report("gate closed", "different jobs failed and none succeeded: only probes are sent")
        self._wait(lambda: time.monotonic() - began >= scenario.OUTAGE_S, "the outage to end")
        self.stage.simulator.outage(None)
        self._wait(lambda: self.stage.queries.gate().gate != WaitingFor.OUTAGE, "the gate to open again")
        seconds, cost = time.monotonic() - began, self._used() - before
        self.audience.report(
            "gate open", f"a signed probe was answered; {seconds:.1f} s of outage cost {cost} attempts in all"
        )

    def _kill_the_worker(self) -> None:
        parts, worker = requested(self.parts, RequestedBy.BEFORE_THE_KILL), self.stage.worker
        self._request(parts, lane="user")
        ids = {part.job_id for part in parts}
        self._wait(lambda: ids <= set(self.stage.simulator.effects()), "the calls to be in progress")
        worker.kill()
        self.audience.report(
            "kill -9", f"the worker, with {len(ids)} calls in progress: deleted there, but the answer is lost"
        )
        worker.start()
        self.audience.report(
            "restarted", f"leases run out within {scenario.LEASE}, then MetaStudio is asked whether they are deleted"
        )

    def _request_with_leftovers(self) -> None:
        leftovers.request(self.stage)
        count = len(leftovers.LEAVERS)
        self.audience.report(
            "left behind", f"{count} more jobs, to be deleted with the models and the voice they leave"
        )

    def _other_side_moves_on(self, then: Then) -> None:
        """Jobs that the worker found not deletable become deletable, or are deleted in another way."""
        client, _ = self.stage.app.client(ACCOUNT)
        waiting = [part for part in self.parts if part.trouble.then is then]
        while waiting:
            self._wait(lambda: any(map(self._waits, waiting)), "a look at a job in training")
            part = next(filter(self._waits, waiting), None)
            if part is None:
                continue
            self.stage.simulator.move_job(part.job_id, "JOB_SUCCESS")
            if then is Then.DELETED_ELSEWHERE:
                self._wait(partial(_deletes, client, part.job_id), "a deletion by another way", every_s=0.02)
            waiting.remove(part)

    def _waits(self, part: Part) -> bool:
        """Whether it was checked, and will not be checked again within the next moment."""
        record, now = self._show(part), self.stage.queries.now_ms()
        return (
            record is not None
            and record.waiting_for is WaitingFor.NOT_DELETABLE_YET
            and record.due_at is not None
            and record.due_at - now > 400
        )

    # -- the repair ----------------------------------------------------------------------------------------------------

    def repair_and_replay(self, dead: Sequence[Deletion]) -> float:
        """Clear all faults, and replay every dead letter with a full new budget. Returns the seconds it took."""
        simulator = self.stage.simulator
        simulator.clear_faults()
        left = set(simulator.job_ids())
        for part in self.parts:
            if part.trouble.state != "JOB_SUCCESS" and part.job_id in left:
                simulator.move_job(part.job_id, "JOB_SUCCESS")
        began = time.monotonic()
        self.stage.ledger.replay((d.ref for d in dead), why="the incident is closed", deadline_s=600.0)
        self._wait(self._all_settled, "the replayed deletions to end")
        return time.monotonic() - began

    def finish_leftovers(self) -> None:
        """Wait until nothing is left to look for."""
        self._wait(lambda: leftovers.closed(self.stage), "what the jobs left behind")
        self.audience.report("erased", leftovers.summary(self.stage))

    # -- reading ------------------------------------------------------------------------------------------------------

    def _request(
        self,
        parts: Iterable[Part],
        *,
        lane: str = "bulk",
        by: str | None = None,
        after_s: float = 0.0,
        deadline_s: float | None = None,
    ) -> list[Accepted]:
        context = self.stage.app
        wanted = deletion_request(context, lane=lane, by=by, after_s=after_s, deadline_s=deadline_s)
        return list(record(context, map(_ref, parts), wanted))

    def _show(self, part: Part) -> Deletion | None:
        return self.stage.queries.show(_ref(part))

    def _settled_record(self, part: Part) -> Deletion:
        self._wait(lambda: (d := self._show(part)) is not None and d.state not in OPEN, part.job_id, every_s=0.01)
        found = self._show(part)
        assert found is not None  # noqa: S101 - it was there a moment ago, and records stay
        return found

    def _states(self) -> dict[State, int]:
        return self.stage.queries.status().states

    def _settled(self) -> int:
        return sum(count for state, count in self._states().items() if state not in OPEN)

    def _all_settled(self) -> bool:
        states = self._states()
        return not any(states[state] for state in OPEN)

    def _used(self) -> int:
        """Attempts used so far, of all deletions."""
        return sum(d.used for state in State for d in self.stage.queries.each(state))

    def _after(self, share: float, action: Callable[[], None]) -> None:
        """Run a step once this share of the requests is finished, or no more can finish."""
        self._wait(lambda: self._settled() >= share * len(self.parts), f"{share:.0%} to be finished")
        action()

    def _wait(self, until: Callable[[], bool], what: str, *, every_s: float = 0.05) -> None:
        while not until():
            raise_if_stopped()
            now = time.monotonic()
            if now > self._until:
                raise OutOfPatience(f"the demo gave up waiting for {what} ({format_duration(PATIENCE_S)})")
            if now >= self._progress_at:
                self._progress_at = now + 0.2
                self.audience.progress(self.stage.queries.status(), len(self.parts) + len(leftovers.LEAVERS))
            if self.stage.worker.starts and self.stage.worker.pid is None:
                raise OutOfPatience(f"the worker {self.stage.worker.ended()}")
            time.sleep(every_s)


def _deletes(client: Client, job_id: str) -> bool:
    return client.delete(Target(DEMO_PROJECT, job_id)).status == 200


def _ref(part: Part) -> Target:
    return Target(DEMO_PROJECT, part.job_id)
