"""What a training job leaves behind: the asset library and the voice jobs, and what the service takes along itself."""

from __future__ import annotations

from dataclasses import dataclass, field

from worker.simulator.assets import Asset, AssetLibrary
from worker.simulator.events import AS_SERVICE, Events
from worker.simulator.jobs import Job
from worker.simulator.later import Later
from worker.simulator.library_behaviour import LibraryBehaviour
from worker.simulator.voice_jobs import VoiceJob, VoiceJobStore


@dataclass(slots=True)
class Library:
    """Assets and voice jobs of all projects."""

    behaviour: LibraryBehaviour = field(default_factory=LibraryBehaviour)
    events: Events = field(default_factory=Events)
    later: Later = field(default_factory=Later)
    assets: AssetLibrary = field(init=False)
    voice_jobs: VoiceJobStore = field(init=False)

    def __post_init__(self) -> None:
        self.assets = AssetLibrary(self.events, self.later)
        self.voice_jobs = VoiceJobStore(self.events)

    def after_job(self, job: Job) -> None:
        """A training job was deleted: take along what the switches say, or the job's own."""
        rule = self.behaviour.changed(job.cascade) if job.cascade else self.behaviour
        if rule.cascade != "none":
            self.later.do(rule.cascade_after_s, lambda: self._take_along(job, rule))

    def after_voice_job(self, job: VoiceJob) -> None:
        """A voice job was deleted."""
        self._remove(job.project, job.asset_id, self.behaviour.voice_cascade)

    def _take_along(self, job: Job, rule: LibraryBehaviour) -> None:
        self._remove(str(job.fields.get("project_id") or job.project), job.fields.get("asset_id"), rule.cascade)
        voice = self.voice_jobs.get(job.project, str(job.fields.get("voice_train_job_id")))
        if voice is not None and rule.cascade_of == "all":
            self.voice_jobs.delete(voice, AS_SERVICE)
            self._remove(voice.project, voice.asset_id, rule.cascade)

    def _remove(self, project: str, asset_id: object, how: str) -> None:
        asset: Asset | None = self.assets.get(project, str(asset_id))
        if asset is None or how == "none":
            return
        if how == "bin":
            self.assets.bin(asset, AS_SERVICE, self.behaviour.bin_days)
        else:
            self.assets.purge(asset, AS_SERVICE)
