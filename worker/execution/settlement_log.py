"""What the log says of a settlement."""

from __future__ import annotations

import logging

from worker.execution import tracing
from worker.ledger.types import Settlement

log = logging.getLogger(__name__)


def log_settled(account: str, settlement: Settlement, became: str | None) -> None:
    """Log one line per deletion, with the event's name; nothing personal, nothing secret."""
    state = became or settlement.to
    if state.startswith("late "):  # another executor has the deletion now; its record says what it is
        state = "stale_result"
    event = {"pending": "deletion.postponed", "dead": "deletion.died"}.get(state, f"deletion.{state}")
    fields = settlement.attempt or settlement.event or {}
    level = logging.WARNING if state == "dead" else logging.INFO
    log.log(
        level,
        event,
        extra={
            "account": account,
            **settlement.ref.for_log(),
            "outcome": fields.get("outcome") or fields.get("found"),
            "status": settlement.status,
            "code": settlement.code,
            "request_id": fields.get("request_id"),
            "ms": settlement.ms or None,
            "cause": settlement.cause,
            "evidence": settlement.evidence,
            **tracing.ids_of_attempt(),
        },
    )
