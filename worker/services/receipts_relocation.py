"""An operator's permission to continue an account's receipt files in a directory without the earlier ones."""

from __future__ import annotations

from worker.execution.app_context import AppContext
from worker.ledger.audit_actions import ActionName, AuditAction
from worker.ledger.receipts import Checkpoint
from worker.model.errors import EraserError
from worker.model.ids import check_opaque, check_reason


def relocate(app: AppContext, account: str, archived: Checkpoint, *, reason: str, by: str | None) -> None:
    """Let the next day go to any directory, even one without the receipts up to `archived`."""
    check_reason(reason), check_opaque(by, "by")
    action = AuditAction(of=f"from receipt {archived.n + 1}").named(ActionName.RELOCATED, by=by, why=reason)
    if not app.ledger(account).run_script("relocate", {"head": archived.head, "act": action})["relocated"]:
        raise EraserError(
            "a worker just moved receipts out of Redis, so its directory is complete. Nothing was done; "
            "to see which one: eraser status"
        )
