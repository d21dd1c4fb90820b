"""What an executor needs of MetaStudio, and the client as it sees it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from worker.lookups.lookups import ROWS
from worker.lookups.lookups import LookupClient as Asks
from worker.metastudio.client import Client
from worker.metastudio.response import Listing, Response


@dataclass(frozen=True, slots=True)
class ClientRemote:
    """A client as an executor needs it."""

    client: Client

    def delete(
        self, project_id: str, job_id: str, *, app_user: str | None = None, signed_at: datetime | None = None
    ) -> Response:
        return self.client.delete(project_id, job_id, app_user=app_user, signed_at=signed_at)

    def ask(
        self,
        project_id: str,
        *,
        job_id: str | None,
        rows: int = ROWS,
        app_user: str | None = None,
        signed_at: datetime | None = None,
        within_s: float | None = None,
    ) -> Listing:
        return self.client.list(
            project_id, job_id=job_id, limit=rows, app_user=app_user, signed_at=signed_at, within_s=within_s
        )

    def ready(self, project_id: str) -> Response | None:
        return self.client.ready(project_id)

    def told(self, now: datetime, ago_s: float) -> None:
        self.client.clock.told(now, ago_s)

    def renew(self, refused: Response) -> bool:
        return self.client.renew(refused)


class RemoteClient(Asks, Protocol):
    """What an executor needs of `worker.metastudio.client.Client`, beyond what lookups need."""

    def delete(
        self, project_id: str, job_id: str, *, app_user: str | None = None, signed_at: datetime | None = None
    ) -> Response:
        """DELETE one job."""

    def ready(self, project_id: str) -> Response | None:
        """Fetch what the next call needs, such as a token. None: the call can be sent; otherwise IAM's answer."""

    def told(self, now: datetime, ago_s: float) -> None:
        """Take note of MetaStudio's time, as another process found out so long ago."""
