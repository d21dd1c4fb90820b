"""What operators do, by name: each leaves one entry in the audit, written by the move that does it."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypedDict

from worker.config.request_id import HTTP_REQUEST_ID
from worker.ledger.types import lean


class ActionName(StrEnum):
    """Every act of a person that the audit knows."""

    CANCELLED = "deletions.cancelled"
    REPLAYED = "deletions.replayed"
    REPLAY_CANCELLED = "replays.cancelled"
    DISCARDED = "deletions.discarded"
    RESTORED = "deletions.restored"
    HELD = "hold.added"
    IMPORTED = "hold.imported"
    RELEASED = "hold.removed"
    PAUSED = "gate.paused"
    RESUMED = "gate.resumed"
    MOVED = "project.moved"
    REBOUND = "account.rebound"
    RELOCATED = "receipts.relocated"
    SENT_BACK = "messages.sent_back"  # parked ones, see `worker.ledger.parking`
    GIVEN_UP = "messages.given_up"
    DAMAGE_DROPPED = "damage.dropped"
    EXPERIMENT = "experiment.begun"  # with a throw-away job, see `eraser learn`
    RELATED_ERASED = "related.erased"  # what deleted jobs left behind
    RELATED_RESTORED = "related.restored"
    WEBHOOKS_REPLAYED = "webhooks.replayed"  # deliveries that are sent again
    WEBHOOK_ADDED = "endpoint.added"  # endpoints in the ledger, see `worker.services.webhook_endpoints`
    WEBHOOK_CHANGED = "endpoint.changed"
    WEBHOOK_ROTATED = "endpoint.rotated"
    WEBHOOK_REMOVED = "endpoint.removed"
    TOKEN_MADE = "token.made"  # noqa: S105 - of the HTTP API, see `worker.services.token_acts`
    TOKEN_ROTATED = "token.rotated"  # noqa: S105
    TOKEN_REVOKED = "token.revoked"  # noqa: S105
    REDACTED = "texts.redacted"  # of who or why, from records, receipts and the audit
    CAP_LIFTED = "cap.lifted"  # a request or a sweep of more than its cap; other acts say it in `cap`


@dataclass(frozen=True, slots=True)
class AuditAction:
    """One act, whatever it takes: every move and every account that is part of it gets the same.

    of: what was named, such as groups or a policy. cap: what was allowed with --max, where that was more than the cap.
    """

    of: str | None = None
    cap: int | None = None
    id: str = field(default_factory=lambda: secrets.token_hex(6))

    def named(self, name: ActionName, *, by: str | None, why: str | None, **more: str | None) -> dict[str, Any]:
        """The form that `lua/_audit.lua` reads. more: run, user (an app user's hash)."""
        fields = {"act": name.value, "by": by, "why": why, "of": self.of, "cap": self.cap, "id": self.id}
        return lean(fields | more | {"http": HTTP_REQUEST_ID.get()})


class Who(TypedDict, total=False):
    """How an operator's move is explained: why, by whom, and what else the audit says of the act that it is part of."""

    why: str | None
    by: str | None
    action: AuditAction | None


def explained(name: ActionName, who: Who, **more: str | None) -> dict[str, Any]:
    """The form that scripts take: why and by whom, and the audit's entry. more: run, user."""
    why, by = who.get("why"), who.get("by")
    entry = (who.get("action") or AuditAction()).named(name, by=by, why=why, **more)
    return lean({"why": why, "by": by, "act": entry})
