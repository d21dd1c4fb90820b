"""An operator's permission to continue an account's receipt files in a directory without the earlier ones."""

from __future__ import annotations

from worker.execution.app_context import AppContext
from worker.ledger.audit_actions import ActionName
from worker.ledger.receipts import Checkpoint
from worker.model.errors import EraserError
from worker.services.act import Approval, Plan


def plan(account: str, archived: Checkpoint) -> Plan:
    """What it would allow."""
    where = f"1 to {archived.n:,} are in another one: if it still exists, set ERASER_RECEIPTS_DIR to it"
    fields = {"account": account, "archived_n": archived.n}
    return Plan(f"receipts of account {account} may leave Redis for any empty directory", {}, [where], fields)


def relocate(app: AppContext, account: str, archived: Checkpoint, approval: Approval) -> None:
    """Let the next day go to any directory, even one without the receipts up to `archived`."""
    approval.check(1, "account")
    entry = approval.entry(ActionName.RELOCATED, f"from receipt {archived.n + 1}")
    if not app.ledger(account).run_script("relocate", {"head": archived.head, "act": entry})["relocated"]:
        raise EraserError(
            "a worker just moved receipts out of Redis, so its directory is complete. Nothing was done; "
            "to see which one: eraser status"
        )
