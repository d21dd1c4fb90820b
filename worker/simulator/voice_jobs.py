"""The existing voice training jobs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from worker.simulator.events import AS_OPERATOR, Actor, Events, What
from worker.simulator.kinds import VOICE_JOB
from worker.simulator.queries import Viewer


@dataclass(slots=True)
class VoiceJob:
    """One voice training job. `fields` are what List and Show add to it."""

    job_id: str
    project: str
    state: str
    created: float  # Unix time
    updated: float
    fields: dict[str, object] = field(default_factory=dict)

    @property
    def asset_id(self) -> str | None:
        """The voice asset; it has one once it has succeeded."""
        asset_id = self.fields.get("asset_id")
        return asset_id if isinstance(asset_id, str) and self.state == "SUCCEED" else None


class VoiceJobStore:
    """Voice jobs by project and id; deletion is immediate."""

    def __init__(self, events: Events) -> None:
        self._jobs: dict[str, dict[str, VoiceJob]] = {}
        self._events = events

    def add(self, job: VoiceJob) -> None:
        """Add a voice job, or replace one with the same id."""
        self._jobs.setdefault(job.project, {})[job.job_id] = job
        self._note(job, What.ADDED, AS_OPERATOR)

    def get(self, project: str, job_id: str) -> VoiceJob | None:
        return self._jobs.get(project, {}).get(job_id)

    def find(self, job_id: str, viewer: Viewer) -> VoiceJob | None:
        job = self.get(viewer.project, job_id)
        return job if job is not None and viewer.sees(job) else None

    def of(self, project: str) -> Iterable[VoiceJob]:
        return self._jobs.get(project, {}).values()

    def every(self) -> Iterable[VoiceJob]:
        return (job for jobs in self._jobs.values() for job in jobs.values())

    def delete(self, job: VoiceJob, actor: Actor) -> None:
        """Once it is gone this does nothing."""
        if self._jobs[job.project].get(job.job_id) is job:
            del self._jobs[job.project][job.job_id]
            self._note(job, What.DELETED, actor)

    def _note(self, job: VoiceJob, what: What, actor: Actor) -> None:
        self._events.add(VOICE_JOB, job.project, job.job_id, what, actor)
