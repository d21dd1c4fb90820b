"""Every command that controls the simulator: the same methods in its process and over HTTP."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from worker.model.errors import UsageError
from worker.model.shares import batches
from worker.simulator.avatars import read_avatar
from worker.simulator.commands import BATCH, DAY_S, Json, command, execute
from worker.simulator.faults import Fault, Outage, OutageMode
from worker.simulator.jobs import Job, read_job
from worker.simulator.key_controls import KeyControls
from worker.simulator.kinds import JOB
from worker.simulator.library_controls import LibraryControls
from worker.simulator.limits import Throttle
from worker.simulator.state import SimulatorState


class Controls(LibraryControls, KeyControls):
    """Every command. Times are in seconds; `project` None is the default project."""

    @command
    def reset(self) -> None:
        """Back to the start: no jobs, assets, faults, outage or calls, the first credentials, limits and clock."""
        self.state.reset()

    # -- jobs ----------------------------------------------------------------------------------------------------------

    def add_job(
        self,
        job_id: str,
        state: str = "JOB_SUCCESS",
        *,
        moves: Sequence[tuple[float, str]] = (),
        project: str | None = None,
        **fields: object,
    ) -> None:
        """Add a job that changes to each state of `moves` so many seconds from now; `fields` as List and Show name
        them, `created_at` and `updated_at` in Unix time, and `not_listed` and `not_shown`: names that one leaves out.
        """
        self.add_jobs([{"job_id": job_id, "state": state, "moves": list(moves), "project": project, **fields}])

    def add_jobs(self, rows: Iterable[Mapping[str, object]]) -> None:
        """Add many jobs; each row needs a `job_id`, the rest as in `add_job`."""
        for batch in batches(map(dict, rows), BATCH):
            self.add(batch)

    @command
    def add(self, jobs: list[Any]) -> None:
        """Add or replace jobs."""
        for job in [read_job(row, self.state.project) for row in jobs]:
            self.state.job_store.add(job)

    @command
    def fill(
        self, count: int, *, spread_days: float = 365.0, project: str | None = None, leftovers: bool = False
    ) -> None:
        """Add job-00001 to job-`count`, all deletable, created evenly over the last `spread_days`, oldest first;
        with `leftovers` each with all that `add_avatar` adds.
        """
        now, added, project = time.time(), time.monotonic(), project or self.state.project
        step = spread_days * DAY_S / max(1, count)
        for n in range(1, count + 1):
            created = now - step * (count - n)
            job = Job(f"job-{n:05d}", project, "JOB_SUCCESS", added, created, created)
            if leftovers:
                avatar = read_avatar({"job_id": job.job_id, "created_at": created}, project)
                avatar.add_to(self.state.library)
                job = avatar.job
            self.state.job_store.add(job)

    @command
    def move_job(self, job_id: str, state: str, *, project: str | None = None) -> None:
        """Put a job in another state now; later moves are dropped."""
        job = self.state.job_store.get(project or self.state.project, job_id)
        if job is None:
            raise UsageError(f"move_job: there is no job {job_id!r}")
        job.state, job.moves = state, ()

    @command
    def job_ids(self, project: str | None = None) -> list[str]:
        """The jobs that still exist; of all projects when `project` is None."""
        return self.state.job_store.ids(project)

    @command
    def history(self) -> dict[str, dict[str, tuple[int, int, int]]]:
        """{project: {job: [how often added, how often deleted, whether it exists]}}"""
        return self.state.job_store.inventory()

    def inventory(self) -> dict[tuple[str, str], tuple[int, int, bool]]:
        """(project, job) of every job that was ever added: how often it was added, how often deleted, and whether
        it exists.
        """
        return {
            (project, job_id): (came, went, bool(here))
            for project, jobs in self.history().items()
            for job_id, (came, went, here) in jobs.items()
        }

    # -- failures ------------------------------------------------------------------------------------------------------

    @command
    def fault(self, /, kind: str, job_id: str | None = None, **more: object) -> None:
        """Inject a failure; kinds and fields are in the table of `faults`. Without a job: the next `times` calls of
        any. `resource="asset"` or `"voice_job"`: `job_id` is the id of one. `method="TOKEN"`: requests to IAM."""
        known = {each.name for each in fields(Fault)}
        if unknown := set(more) - known:
            raise UsageError(f"fault: no such field {', '.join(sorted(unknown))}; use {', '.join(sorted(known))}")
        self.state.faults.add(Fault(kind, job_id, **more))  # type: ignore[arg-type]

    @command
    def clear_faults(self, job_id: str | None = None) -> None:
        """Clear the faults of one job, or all."""
        self.state.faults.clear(job_id)

    @command
    def outage(
        self, mode: str | None, *, method: str = "*", project: str | None = None, for_s: float | None = None
    ) -> None:
        """Start an outage as `faults.OutageMode` says, until it is lifted with None or for `for_s`; for all, one method
        or one project.

        `closed` stops listening for everyone, including the control API: over HTTP it needs `for_s`. IAM is down only
        with `method="TOKEN"` or `closed`.
        """
        if mode not in (None, *OutageMode):
            raise UsageError(f"outage mode {mode!r}: use one of {', '.join(OutageMode)}, or null to end it")
        until = None if for_s is None else time.monotonic() + for_s
        self.state.outage = None if mode is None else Outage(OutageMode(mode), method, project, until)

    # -- behaviour -----------------------------------------------------------------------------------------------------

    @command
    def set_clock(self, offset_s: float) -> None:
        """Move the server's clock: its window, its Date header, its `server time:`."""
        self.state.change(clock_offset_s=offset_s)

    @command
    def set_latency(self, seconds: float, jitter_s: float = 0.0) -> None:
        """Let every call take this long, plus 0 to `jitter_s`; half of it before the effect, half after."""
        self.state.change(latency_s=seconds, jitter_s=jitter_s)

    @command
    def set_limits(
        self,
        delete_per_s: int | None = None,
        get_per_s: int | None = None,
        retry_after_s: float | None = None,
        per_s: dict[str, Any] | None = None,
        quota: str | None = None,
    ) -> None:
        """Throttle per project in a sliding second; None is no limit. The first two are for training jobs, `per_s` by
        family for the others, as {"asset_delete": 5}. `retry_after_s` goes into the 429, `quota` into answers in debug
        mode (None: what the limit is).
        """
        limits = {"delete_per_s": delete_per_s, "get_per_s": get_per_s, "per_s": per_s or {}}
        self.state.change(**limits, retry_after_s=retry_after_s, quota=quota)
        self.state.throttle = Throttle(self.state.behaviour.limits)

    @command
    def set_answers(
        self,
        absent: str | None = None,
        not_deletable: str | None = None,
        isolate_app_users: bool | None = None,
        ignore_filters: bool | None = None,
        lists: str | None = None,
    ) -> None:
        """`absent` and `not_deletable`: "400", "404" or "500"; `lists`: see `responses.Lists`. None: as before."""
        given = {"absent": absent, "not_deletable": not_deletable, "lists": lists}
        flags = {"isolate_app_users": isolate_app_users, "ignore_filters": ignore_filters}
        self.state.change(**{name: value for name, value in {**given, **flags}.items() if value is not None})

    # -- what happened -------------------------------------------------------------------------------------------------

    def calls(
        self, since: int = 0, *, job_id: str | None = None, kind: str | None = None, id: str | None = None
    ) -> list[Json]:
        """Calls after number `since`, oldest first, with the fields of `calls.Call`; `ended` None means in progress.
        `job_id`: those of one training job; `kind` and `id`: of one kind, or one resource.
        """
        kind, id = (kind, id) if job_id is None else (JOB, job_id)
        found: list[Json] = []
        while page := self.page_of_calls(since, BATCH, kind, id):
            found += page
            since = page[-1]["n"]
            if len(page) < BATCH:
                break
        return found

    @command
    def page_of_calls(
        self, since: int = 0, limit: int = 1000, kind: str | None = None, id: str | None = None
    ) -> list[Json]:
        """The first `limit` of them."""
        return self.state.calls.page(since, limit, kind, id)

    @command
    def deletes(self, kind: str = JOB) -> dict[str, int]:
        """How many DELETEs of each job, or asset or voice_job, arrived, whatever their result."""
        return self.state.calls.deletes(kind)

    @command
    def effects(self, kind: str = JOB) -> dict[str, int]:
        """How often a DELETE of each took effect: of a job more than once only if it was added again."""
        return self.state.calls.effects(kind)

    @command
    def stats(self) -> Json:
        """Totals since the start or the last reset.

        `total`, `under_way`; `by_status` (ended calls; "none": no status line was sent), `by_operation` (`token`:
        requests to IAM; `asset.delete` and so on for other kinds), `by_fault`; `effects` (jobs deleted),
        `most_effects_of_a_job`, `most_deletes_of_a_job` (DELETE calls); `max_overlap` (calls that change one resource
        in progress at the same time) and `overlaps` (job or kind:id, of those with more than one); `peak_per_second`
        (project → method, or family for other kinds → most arrivals in any sliding second, refused ones included);
        `throttled` (429 answers); `refused_signatures`, `refused_by_reason`.
        """
        return self.state.calls.stats()


@dataclass
class LocalControl(Controls):
    """Controls a simulator from its own thread."""

    state: SimulatorState

    def _run(self, name: str, arguments: Mapping[str, Any]) -> Any:
        return execute(self.state, name, arguments)
