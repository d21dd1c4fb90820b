"""The existing training jobs, their states over time, and the parameters of a List."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter, ge, le

from worker.model.errors import UsageError
from worker.simulator.library_behaviour import LibraryBehaviour
from worker.simulator.queries import BadQuery, Page, Viewer, parts_of, read_moment, read_page, read_query


@dataclass(slots=True)
class Job:
    """One training job. `moves` are (seconds after `added`, state); `fields` are what List and Show add to it."""

    job_id: str
    project: str
    state: str
    added: float  # monotonic
    created: float  # Unix time
    updated: float  # Unix time of the last change by the user
    moves: tuple[tuple[float, str], ...] = ()
    fields: dict[str, object] = field(default_factory=dict)
    cascade: dict[str, object] = field(default_factory=dict)  # its own switches of `LibraryBehaviour`

    def state_at(self, now: float) -> str:
        state = self.state
        for after, moved in self.moves:
            if now - self.added >= after:
                state = moved
        return state


Test = Callable[[Job, float], bool]  # of a job at a time (monotonic)


@dataclass(frozen=True, slots=True)
class ListQuery:
    """A List call's parameters, checked."""

    page: Page
    job_id: str | None
    tests: tuple[Test, ...]


class JobStore:
    """Jobs by project and id; deletion is immediate.

    Listing with filters reads all jobs of the project: 100,000 in about 50 ms. Without filters their order is kept
    until one is added or deleted.
    """

    def __init__(self) -> None:
        self._jobs: dict[str, dict[str, Job]] = {}
        self._sorted: dict[tuple[str, str, bool], Sequence[Job]] = {}
        self._came: dict[str, Counter[str]] = {}
        self._went: dict[str, Counter[str]] = {}

    def add(self, job: Job) -> None:
        """Add a job, or replace a job with the same id."""
        jobs = self._jobs.setdefault(job.project, {})
        if job.job_id not in jobs:
            self._came.setdefault(job.project, Counter())[job.job_id] += 1
        jobs[job.job_id] = job
        self._sorted.clear()

    def find(self, job_id: str, viewer: Viewer) -> Job | None:
        job = self._jobs.get(viewer.project, {}).get(job_id)
        return job if job is not None and viewer.sees(job) else None

    def get(self, project: str, job_id: str) -> Job | None:
        return self._jobs.get(project, {}).get(job_id)

    def delete(self, job: Job) -> None:
        del self._jobs[job.project][job.job_id]
        self._went.setdefault(job.project, Counter())[job.job_id] += 1
        self._sorted.clear()

    def inventory(self) -> dict[str, dict[str, tuple[int, int, int]]]:
        """Project and id of every job that was ever added: how often it was added, how often deleted, and whether
        it exists.
        """
        return {
            project: {
                job_id: (times, self._went.get(project, Counter())[job_id], int(job_id in self._jobs[project]))
                for job_id, times in came.items()
            }
            for project, came in self._came.items()
        }

    def ids(self, project: str | None) -> list[str]:
        """Ids of the jobs that still exist, in the order they were added; of all projects when `project` is None."""
        projects = self._jobs if project is None else {project: self._jobs.get(project, {})}
        return [job_id for jobs in projects.values() for job_id in jobs]

    def list(self, query: ListQuery, viewer: Viewer, now: float) -> tuple[int, list[Job]]:
        """Return the number of all matching jobs, and the requested page. `now` is monotonic."""
        page = query.page
        if not (query.job_id or query.tests or viewer.isolated) and viewer.sees_any:
            every = self._in_order(viewer.project, page)
            return len(every), [*every[page.offset : page.end]]
        found = [job for job in self._candidates(query, viewer) if viewer.sees(job)]
        for test in query.tests:
            found = [job for job in found if test(job, now)]
        found.sort(key=_SORT_KEYS[page.sort_key], reverse=page.descending)
        return len(found), found[page.offset : page.end]

    def _in_order(self, project: str, page: Page) -> Sequence[Job]:
        name = (project, page.sort_key, page.descending)
        if name not in self._sorted:
            jobs = self._jobs.get(project, {}).values()
            self._sorted[name] = sorted(jobs, key=_SORT_KEYS[page.sort_key], reverse=page.descending)
        return self._sorted[name]

    def _candidates(self, query: ListQuery, viewer: Viewer) -> Iterable[Job]:
        jobs = self._jobs.get(viewer.project, {})
        if query.job_id is None:
            return jobs.values()
        return [jobs[query.job_id]] if query.job_id in jobs else []


_SORT_KEYS: dict[str, Callable[[Job], float | str]] = {
    "create_time": lambda job: job.created,
    "update_time": lambda job: job.updated,
    "asset_order": lambda job: str(job.fields.get("asset_id", "\uffff")),
}


def read_job(row: object, default_project: str) -> Job:
    """A job from the arguments of `Controls.add_job`. Raises `UsageError`."""
    if not isinstance(row, Mapping) or not isinstance(row.get("job_id"), str):
        raise UsageError("add: every job needs a job_id")
    cascade = {name: row[name] for name in row if name.startswith("cascade")}
    LibraryBehaviour().changed(cascade)
    known = {"job_id", "state", "project", "moves", "created_at", "updated_at", *cascade}
    try:
        moves = tuple(sorted((float(after), str(name)) for after, name in row.get("moves") or ()))
        created = float(row.get("created_at", time.time()))
        updated = float(row.get("updated_at", created))
    except (TypeError, ValueError):
        raise UsageError(f"job {row['job_id']}: moves are pairs of seconds and state, times are Unix times") from None
    return Job(
        job_id=row["job_id"],
        project=row.get("project") or default_project,
        state=str(row.get("state") or "JOB_SUCCESS"),
        added=time.monotonic(),
        created=created,
        updated=updated,
        moves=moves,
        cascade=cascade,
        fields={name: value for name, value in row.items() if name not in known},
    )


def read_list_query(query: str, ignore_filters: bool = False) -> ListQuery:
    """Check a List call's parameters (API reference 1.3); raise `BadQuery`. Unknown and empty ones are ignored.

    ignore_filters: check them, and keep only `job_id`.
    """
    given = read_query(query)
    page = read_page(given, _SORT_KEYS)
    tests = tuple(make(name, given[name]) for name, make in _FILTERS.items() if name in given)
    return ListQuery(page, given.get("job_id"), () if ignore_filters else tests)


def _state(_name: str, wanted: str) -> Test:
    states = parts_of(wanted)
    return lambda job, now: not states or job.state_at(now) in states


def _equal(name: str, wanted: str) -> Test:
    return lambda job, _: _value(job, name) == wanted


def _flag(name: str, wanted: str) -> Test:
    if wanted not in {"true", "false"}:
        raise BadQuery(name)
    return lambda job, _: bool(job.fields.get(name, False)) is (wanted == "true")


def _member(name: str, wanted: str) -> Test:
    key = {"tag": "tags", "train_location": "optional_training_location"}[name]
    return lambda job, _: isinstance(values := job.fields.get(key), list | tuple) and wanted in values


def _bound(name: str, text: str) -> Test:
    """The documents say ">=" for update_until, too: an evident copy error (API reference 1.3)."""
    moment, compare = read_moment(text), ge if name.endswith("since") else le
    time_of = attrgetter("created" if name.startswith("create") else "updated")
    return lambda job, _: bool(compare(time_of(job), moment))


_FILTERS: dict[str, Callable[[str, str], Test]] = {
    "state": _state,
    **dict.fromkeys(("name", "batch_name", "model_resolution"), _equal),
    **dict.fromkeys(("is_flexus", "is_live_copy", "is_ondemand_resource"), _flag),
    **dict.fromkeys(("tag", "train_location"), _member),
    **dict.fromkeys(("create_since", "create_until", "update_since", "update_until"), _bound),
}


def _value(job: Job, name: str) -> object:
    """A field as List shows it, defaults included."""
    if name == "name":
        return job.fields.get("name", f"avatar {job.job_id}")
    return job.fields.get(name, "1080P" if name == "model_resolution" else None)
