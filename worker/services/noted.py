"""The audit's entry of an act that is done already and belongs to no account: it is in that of the first one."""

from __future__ import annotations

from typing import Any

from worker.execution.app_context import AppContext
from worker.model.errors import EraserError
from worker.services.redis_ping import require_redis


def noted(app: AppContext, entry: dict[str, Any], result: str) -> str:
    """Write it. Returns a remark for the operator, which says why the audit has no entry, or is empty."""
    try:
        require_redis(app.redis_url)
        app.check_schema()
        app.ledger(next(iter(app.settings.accounts))).note(entry, result, 1)
    except EraserError as error:
        return f"It is done, but not in the audit: {str(error).removesuffix('; nothing was done')}"
    return ""
