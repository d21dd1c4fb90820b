"""The existing training jobs, their states over time, and the parameters of a List."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import unquote

from worker.simulator.verification import Credential

OFFSET_LIMIT = 2_147_483_647


class BadQuery(Exception):
    """A List parameter outside its documented range."""


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
    deleted: bool = False

    def state_at(self, now: float) -> str:
        state = self.state
        for after, moved in self.moves:
            if now - self.added >= after:
                state = moved
        return state


@dataclass(frozen=True, slots=True)
class Viewer:
    """The identity of a caller. With isolation on, a job with an app user is visible only to a call that names this
    user.
    """

    project: str
    app_user: str | None = None
    sees_jobs: bool = True
    isolated: bool = False

    @classmethod
    def of(cls, credential: Credential, project: str, app_user: str | None, *, isolated: bool) -> Viewer:
        return cls(project, app_user, credential.sees_jobs, isolated)

    def sees(self, job: Job) -> bool:
        if not self.sees_jobs or job.project != self.project:
            return False
        owner = job.fields.get("app_user_id")
        return not self.isolated or owner is None or owner == self.app_user


@dataclass(frozen=True, slots=True)
class ListQuery:
    """A List call's parameters, checked."""

    offset: int
    limit: int
    sort_key: str
    descending: bool
    job_id: str | None
    states: frozenset[str]
    tests: tuple[Callable[[Job], bool], ...]


class JobStore:
    """Jobs by project and id; deletion is immediate.

    Listing with filters reads all jobs of the project: 100,000 in about 50 ms. Without filters their order is kept
    until one is added or deleted.
    """

    def __init__(self) -> None:
        self._jobs: dict[str, dict[str, Job]] = {}
        self._orders: dict[tuple[str, str, bool], Sequence[Job]] = {}
        self._came: dict[str, Counter[str]] = {}
        self._went: dict[str, Counter[str]] = {}

    def add(self, job: Job) -> None:
        """Add a job, or replace a job with the same id."""
        jobs = self._jobs.setdefault(job.project, {})
        if job.job_id not in jobs:
            self._came.setdefault(job.project, Counter())[job.job_id] += 1
        jobs[job.job_id] = job
        self._orders.clear()

    def find(self, job_id: str, viewer: Viewer) -> Job | None:
        job = self._jobs.get(viewer.project, {}).get(job_id)
        return job if job is not None and viewer.sees(job) else None

    def get(self, project: str, job_id: str) -> Job | None:
        return self._jobs.get(project, {}).get(job_id)

    def delete(self, job: Job) -> None:
        del self._jobs[job.project][job.job_id]
        self._went.setdefault(job.project, Counter())[job.job_id] += 1
        self._orders.clear()

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

    def list(self, asked: ListQuery, viewer: Viewer, now: float) -> tuple[int, list[Job]]:
        """Return the number of all matching jobs, and the requested page. `now` is monotonic."""
        if not (asked.job_id or asked.states or asked.tests or viewer.isolated) and viewer.sees_jobs:
            every = self._in_order(viewer.project, asked)
            return len(every), [*every[asked.offset : asked.offset + asked.limit]]
        found = [job for job in self._candidates(asked, viewer) if viewer.sees(job)]
        if asked.states:
            found = [job for job in found if job.state_at(now) in asked.states]
        for test in asked.tests:
            found = [job for job in found if test(job)]
        found.sort(key=_SORT_KEYS[asked.sort_key], reverse=asked.descending)
        return len(found), found[asked.offset : asked.offset + asked.limit]

    def _in_order(self, project: str, asked: ListQuery) -> Sequence[Job]:
        name = (project, asked.sort_key, asked.descending)
        if name not in self._orders:
            jobs = self._jobs.get(project, {}).values()
            self._orders[name] = sorted(jobs, key=_SORT_KEYS[asked.sort_key], reverse=asked.descending)
        return self._orders[name]

    def _candidates(self, asked: ListQuery, viewer: Viewer) -> Iterable[Job]:
        jobs = self._jobs.get(viewer.project, {})
        if asked.job_id is None:
            return jobs.values()
        return [jobs[asked.job_id]] if asked.job_id in jobs else []


_SORT_KEYS: dict[str, Callable[[Job], float | str]] = {
    "create_time": lambda job: job.created,
    "update_time": lambda job: job.updated,
    "asset_order": lambda job: str(job.fields.get("asset_id", f"asset-{job.job_id}")),
}


def read_query(query: str) -> dict[str, str]:
    """Decode a query string; the last value of a repeated name is used."""
    pairs = (part.partition("=") for part in query.split("&") if part)
    return {unquote(name): unquote(value) for name, _, value in pairs}


def asked_for(query: str) -> ListQuery:
    """Check a List call's parameters (API reference 1.3); raise `BadQuery`. Unknown and empty ones are ignored."""
    given = {name: value for name, value in read_query(query).items() if value != ""}
    sort_key, direction = given.get("sort_key", "create_time"), given.get("sort_dir", "asc")
    if sort_key not in _SORT_KEYS or direction not in {"asc", "desc"}:
        raise BadQuery("sort_key or sort_dir")
    states = frozenset(part.strip() for part in given.get("state", "").split(",") if part.strip())
    return ListQuery(
        offset=_number(given, "offset", 0, 0, OFFSET_LIMIT),
        limit=_number(given, "limit", 10, 1, 100),
        sort_key=sort_key,
        descending=direction == "desc",
        job_id=given.get("job_id"),
        states=states,
        tests=tuple(_tests(given)),
    )


def _tests(given: Mapping[str, str]) -> Iterable[Callable[[Job], bool]]:
    for name in ("name", "batch_name", "model_resolution"):
        if name in given:
            yield _equal(name, given[name])
    for name in ("is_flexus", "is_live_copy", "is_ondemand_resource"):
        if name in given:
            if given[name] not in {"true", "false"}:
                raise BadQuery(name)
            yield _flag(name, given[name] == "true")
    for name, key in (("tag", "tags"), ("train_location", "optional_training_location")):
        if name in given:
            yield _member(key, given[name])
    for name in ("create_since", "create_until", "update_since", "update_until"):
        if name in given:
            yield _bound(name, _moment(given[name]))


def _equal(name: str, wanted: str) -> Callable[[Job], bool]:
    return lambda job: _value(job, name) == wanted


def _flag(name: str, wanted: bool) -> Callable[[Job], bool]:
    return lambda job: bool(job.fields.get(name, False)) is wanted


def _member(key: str, wanted: str) -> Callable[[Job], bool]:
    def test(job: Job) -> bool:
        values = job.fields.get(key)
        return isinstance(values, list | tuple) and wanted in values

    return test


def _bound(name: str, moment: float) -> Callable[[Job], bool]:
    match name:
        case "create_since":
            return lambda job: job.created >= moment
        case "create_until":
            return lambda job: job.created <= moment
        case "update_since":
            return lambda job: job.updated >= moment
        case _:  # the documents say ">=" here, too: an evident copy error (API reference 1.3)
            return lambda job: job.updated <= moment


def _value(job: Job, name: str) -> object:
    """A field as List shows it, defaults included."""
    if name == "name":
        return job.fields.get("name", f"avatar {job.job_id}")
    return job.fields.get(name, "1080P" if name == "model_resolution" else None)


def _number(given: Mapping[str, str], name: str, default: int, low: int, high: int) -> int:
    text = given.get(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or not low <= int(text[:20]) <= high:
        raise BadQuery(name)
    return int(text)


def _moment(text: str) -> float:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise BadQuery("a time") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
