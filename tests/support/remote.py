"""MetaStudio in a few lines, for schedules of thousands of steps: jobs that are there, and ways not to say so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from tests.support.responses import failure, listing, no_list, response, row
from worker.metastudio.response import Listing, Response, TransportFailure
from worker.model.target import JOB, Target

OTHERS = ("other-1", "other-2")  # there are always jobs that nobody asks for


class Mood(StrEnum):
    """How it answers now."""

    WELL = "well"
    FAILING = "failing"  # 500 to every DELETE, which does nothing
    DEAF = "deaf"  # DELETEs are carried out, and nobody hears of it
    BROWNOUT = "brownout"  # every list is empty, everything else 500
    BLIND = "blind"  # the key sees no job, and its DELETEs find none
    SILENT = "silent"  # nothing is answered


@dataclass
class FewLines:
    """Answers as `worker.metastudio.client` does. `there`: job and its app user."""

    there: dict[str, str | None]
    mood: Mood = Mood.WELL
    sent: list[str] = field(default_factory=list)  # jobs whose DELETE arrived, in their order

    def delete(
        self, target: Target, *, app_user: str | None = None, signed_at: datetime | None = None, quota: bool = False
    ) -> Response:
        job_id = target.id
        self.sent.append(job_id)
        match self.mood:
            case Mood.FAILING | Mood.BROWNOUT:
                return response(500, "MSS.00000004")
            case Mood.SILENT:
                return failure(TransportFailure.TIMEOUT)
            case Mood.BLIND:
                return response(400, "MSS.00000003")
            case Mood.DEAF:
                self.there.pop(job_id, None)
                return failure(TransportFailure.RESET)
        if job_id not in self.there:
            return response(400, "MSS.00000003")
        del self.there[job_id]
        return response(200)

    def ask(
        self,
        project_id: str,
        ids: Sequence[str] = (),
        *,
        kind: str = JOB,
        rows: int = 100,
        app_user: str | None = None,
        signed_at: datetime | None = None,
        within_s: float | None = None,
        quota: bool = False,
    ) -> Listing:
        if self.mood is Mood.SILENT:
            return no_list(failure(TransportFailure.TIMEOUT))
        if self.mood in (Mood.BROWNOUT, Mood.BLIND):
            return listing()
        jobs = [id for id in ids if id in self.there] if ids else [*self.there, *OTHERS]
        found = [row(job, app_user_id=self.there.get(job)) for job in jobs]
        return listing(*found[:rows], count=len(found))

    def ready(self, project_id: str) -> Response | None:
        return None

    def renew(self, refused: Response) -> bool:
        return False
