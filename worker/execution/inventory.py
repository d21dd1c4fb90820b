"""What belongs to a training job, found out right before its DELETE: the links are lost with the job.

    Show of the job ──▶ asset_id            ──▶ Show of the asset
                    └─▶ voice_train_job_id  ──▶ Show of the voice job ──▶ its asset ──▶ Show of that one

Ids, states, times and request ids only: names, phone numbers and links stay in MetaStudio's answers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from worker.ledger.deletions import Ledger
from worker.ledger.types import Lease, compact
from worker.lookups.renewal import with_new_token
from worker.metastudio.client import Client
from worker.metastudio.response import Response, Shown
from worker.metastudio.targets.avatar_job import JobRow
from worker.metastudio.targets.registry import adapter_of
from worker.metastudio.targets.voice_job import VoiceJobRow
from worker.model.erasure import Inventory, PartEvidence
from worker.model.ids import why_bad_id
from worker.model.states import Lane
from worker.model.target import JOB, MODEL_ASSET, VOICE_ASSET, VOICE_JOB, Target
from worker.rules.classify import ResponseKind, classify
from worker.rules.parts import Part, proven, stored

TRIES: Final = {Lane.USER: (1.5,), Lane.BULK: (60.0, 180.0, 300.0)}  # seconds until the next one


@dataclass(frozen=True, slots=True)
class Found:
    """What belongs to a job. `problem`: the answer because of which it could not be found out."""

    state: Inventory
    parts: tuple[Part, ...] = ()
    problem: Response | None = None
    owner: str | None = None  # the app user whose job it is
    shown: bool = False  # the job was

    def as_option(self, related: str) -> dict[str, Any]:
        """As `lua/confirm.lua` takes it."""
        ids = [part.id for part in self.parts]
        absent = self.problem is not None and _says_absent(JOB, self.problem) and not self.shown
        found = {"state": self.state.value, "absent": absent, "parts": compact(stored(self.parts)), "ids": ids}
        return {"related": related} | found


@dataclass(frozen=True, slots=True)
class InventoryTaker:
    """Finds out what belongs to a job. `pause(s)` returns True to stop, `time_left` says for how long one may ask."""

    remote: Client
    ledger: Ledger
    pause: Callable[[float], bool]
    signed_at: Callable[[], datetime | None]
    time_left: Callable[[], float]

    def of(self, lease: Lease) -> Found:
        """What belongs to the job of this lease. Without an answer to any question `problem` says which."""
        shown = self._show(lease.ref, lease.app_user)
        if not isinstance(shown.row, JobRow):
            return Found(Inventory.NONE, problem=shown.response)
        job, project = shown.row, shown.row.project_id or lease.ref.project_id
        parts, problem, asset_of_voice = [], None, None
        if job.asset_id and _may_be_named(job.asset_id, project):
            part, _, problem = self._part(MODEL_ASSET, job.asset_id, project, lease, "job")
            parts.append(part)
        if job.voice_train_job_id and problem is None and _may_be_named(job.voice_train_job_id):
            voice, row, problem = self._part(VOICE_JOB, job.voice_train_job_id, lease.ref.project_id, lease, "job")
            parts.append(voice)
            asset_of_voice = row.asset_id if isinstance(row, VoiceJobRow) else None
            if asset_of_voice and _may_be_named(asset_of_voice, project):
                asset, _, problem = self._part(VOICE_ASSET, asset_of_voice, project, lease, "voice_job")
                parts.append(asset if voice.own else replace(asset, own=False, why_not_own=voice.why_not_own))
        foreign = tuple(self._foreign(part, lease.ref.project_id) for part in parts)
        named = {job.asset_id, job.voice_train_job_id, asset_of_voice} - {None, ""}
        known = problem is None and named <= {part.id for part in parts}
        return Found(Inventory.DONE if known else Inventory.NONE, foreign, problem, job.app_user_id, shown=True)

    def _part(
        self, kind: str, id: str, project_id: str, lease: Lease, named_by: str
    ) -> tuple[Part, Any, Response | None]:
        """One part as its own Show describes it, its row, and the answer that was none."""
        part = Part(kind, id, project_id, named_by)
        if not self._may_look(kind, lease.lane):
            return part, None, Response(None, None, None, "no slot", None, 0)
        shown = self._show(Target(lease.ref.project_id, id, kind), lease.app_user)
        response = shown.response
        if shown.row is not None:
            at, request_id = int(self.ledger.now_ms()), response.request_id
            return (
                proven(replace(part, shown_at=at, shown_request_id=request_id), shown.row, lease.ref.id),
                shown.row,
                None,
            )
        match classify(response):
            case ResponseKind.FORBIDDEN:
                return replace(part, evidence=PartEvidence.NOT_PERMITTED.value), None, None
            case ResponseKind.ASK if _says_absent(kind, response):
                return part, None, None
        return part, None, response

    def _may_look(self, kind: str, lane: Lane) -> bool:
        """Wait for a slot, where the family's limit is below that of the jobs' DELETE; False: there is none in time."""
        if kind != VOICE_JOB:
            return True
        wait_s = self.ledger.reserve_lookup(kind=kind, patience_s=self.time_left(), urgent=lane is Lane.USER)
        return wait_s is not None and not self.pause(wait_s)

    def _show(self, target: Target, app_user: str | None) -> Shown:
        def question() -> Shown:
            return self.remote.show(target, app_user=app_user, signed_at=self.signed_at())

        return with_new_token(self.remote, question)

    @staticmethod
    def _foreign(part: Part, project_id: str) -> Part:
        """Another project's asset is reported and never touched."""
        if part.project_id == project_id:
            return part
        return replace(
            part, own=False, why_not_own="it belongs to another project", evidence=PartEvidence.FOREIGN.value
        )


def _may_be_named(*ids: str) -> bool:
    """Whether ids that MetaStudio named may be kept and stand in a URL: see `worker.model.ids`."""
    return not any(why_bad_id(id) for id in ids)


def _says_absent(kind: str, response: Response) -> bool:
    """Whether the answer to a Show says that there is none. The looks after the DELETE prove it."""
    if classify(response) is not ResponseKind.ASK or response.status not in (400, 404):
        return False
    return response.status == 404 or kind in (VOICE_JOB, JOB) or response.code in adapter_of(kind).absent_codes


def next_try_s(lease: Lease, problem: Response) -> float | None:
    """When to ask again; None: the DELETE goes without an inventory."""
    tries = TRIES[lease.lane]
    if classify(problem) is ResponseKind.FORBIDDEN or _says_absent(JOB, problem) or lease.inventory_tries >= len(tries):
        return None
    return max(tries[lease.inventory_tries], problem.retry_after_s or 0.0)
