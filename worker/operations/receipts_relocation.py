"""A person's word that the files of an account's receipts go on in a directory that lacks the earlier ones."""

from __future__ import annotations

from worker.deletion import check_opaque, check_reason
from worker.errors import EraserError
from worker.ledger.acts import Act, ActName
from worker.ledger.receipts import Mark
from worker.runtime import Runtime


def relocate(running: Runtime, account: str, archived: Mark, *, reason: str, by: str | None) -> None:
    """Let the next day go to any directory, whatever of the receipts up to `archived` is in it."""
    check_reason(reason), check_opaque(by, "by")
    act = Act(of=f"from receipt {archived.n + 1}").named(ActName.RELOCATED, by=by, why=reason)
    if not running.ledger(account).move("relocate", {"head": archived.head, "act": act})["relocated"]:
        raise EraserError(
            "a worker just moved receipts out of Redis, so its directory is complete. Nothing was done; "
            "to see which one: eraser status"
        )
