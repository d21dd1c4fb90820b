"""What the log says of a settlement."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from worker.execution.prefetch import Result

log = logging.getLogger(__name__)


def log_settled(account: str, results: Iterable[Result], became: Iterable[str | None]) -> None:
    """Log one line per deletion, with the event's name; nothing personal, nothing secret."""
    for result, state in zip(results, became, strict=False):  # without a settlement there is one state more: None
        if result.settlement.attempt or result.settlement.event:
            _log(account, result, state)


def _log(account: str, result: Result, became: str | None) -> None:
    settlement = result.settlement
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
            **result.trace,
        },
    )
