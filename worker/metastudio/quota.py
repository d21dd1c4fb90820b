"""What the API gateway says of its own limits, where a call asks for it: `X-Apig-Mode: debug`.

Documented for API gateways in general, not for MetaStudio's. So whatever is there is read with suspicion: only numbers
are kept, and the names of limits that are known.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from worker.model.quota import Quota

ASKING: Final = {"X-Apig-Mode": "debug"}  # not signed: no gateway refuses a signature for it
_REFUSED: Final = b"APIGW.0311"  # "Incorrect debugging authentication information"

_SCOPES: Final = ("api", "user", "app", "ip", "api-allenv")  # of X-Apig-RateLimit-<scope>
_LIMIT: Final = re.compile(
    r"remain:\s*(?P<remaining>[0-9]{1,9}),\s*limit:\s*(?P<limit>[0-9]{1,9}),"
    r"\s*time:\s*(?P<time>[0-9]{1,6})\s*(?P<unit>second|minute|hour|day)s?",
    re.ASCII,
)
_SECONDS: Final = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}
_LONGEST: Final = 128  # characters of a header


def read_quota(family: str, headers: Mapping[str, str]) -> Quota | None:
    """The tightest of the limits in these headers; None: there is none that can be read."""
    found = (_read(family, scope, headers.get(f"X-Apig-RateLimit-{scope}")) for scope in _SCOPES)
    return min((quota for quota in found if quota), key=lambda quota: quota.rate, default=None)


def refuses_question(status: int | None, body: bytes) -> bool:
    """Whether the gateway refused a call because it was asked for its limits."""
    return status == 401 and _REFUSED in body


def _read(family: str, scope: str, header: str | None) -> Quota | None:
    found = _LIMIT.fullmatch(header.strip()) if header and len(header) <= _LONGEST else None
    if found is None:
        return None
    limit, period_s = int(found["limit"]), int(found["time"]) * _SECONDS[found["unit"]]
    remaining = int(found["remaining"])
    return Quota(family, scope, limit, period_s, remaining) if limit and period_s and remaining <= limit else None
