"""A limit of the API gateway for a family of calls, as the gateway says it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Quota:
    """One limit of the gateway for a family of calls: `limit` calls in `period_s` seconds."""

    family: str
    scope: str  # api, user, app, ip or api-allenv
    limit: int
    period_s: int
    remaining: int
    at: float = 0.0  # when the ledger was told (ms since 1970); 0: it was not

    @property
    def rate(self) -> float:
        """Calls a second."""
        return self.limit / self.period_s
