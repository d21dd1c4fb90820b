"""Takes what a deleted job left behind out of the recycle bin again, within its seven days."""

from __future__ import annotations

from worker.config.personal import check_app_user
from worker.execution.app_context import AppContext
from worker.rules.parts import BIN_LOOK_MS, DAY_MS, Part
from worker.services import labels
from worker.services.act import Approval, Outcome
from worker.services.related import Choice, Selection

PATIENCE_S = 60.0  # for a slot among the calls of its family
LOOK_AFTER_S = 120.0  # if this process dies after its call


def restore(app: AppContext, selection: Selection, approval: Approval, *, app_user: str | None) -> list[Outcome]:
    """Restore each part that is meant. From then on nothing of the job is deleted; the next look says whether it is
    there. Raises `RefusedBySafetyRule` for a plan that was not confirmed, and `SettingsError` without credentials."""
    check_app_user(app_user)
    approval.check(len(selection.meant), "job")
    found = []
    for one in selection.meant:
        app.client(one.account)
        ledger, gate = app.ledger(one.account), app.queries(one.account).gate()
        if not gate.is_open:
            text = f"nothing was sent: account {one.account} is closed ({gate.gate}); repeat the command afterwards"
            found.append(Outcome(one.job, "not_sent", text, done=False))
            continue
        ((_, result),) = ledger.restore_related([one.job], after_s=LOOK_AFTER_S, app_user=app_user, **approval.who())
        if result != "restoring":
            found.append(Outcome(one.job, result, "nothing of it is in the recycle bin any more", done=False))
            continue
        found += [_restored(app, one, part, app_user or one.app_user) for part in one.parts]
        ledger.look_now(one.job)
        app.wake(one.account, 0)
    return found + selection.skipped()


def _restored(app: AppContext, one: Choice, part: Part, app_user: str | None) -> Outcome:
    client, ledger = app.client(one.account)[0], app.ledger(one.account)
    if part.due is not None and ledger.now_ms() >= part.due - (BIN_LOOK_MS - 7 * DAY_MS):
        return Outcome(part.target, "too_late", "its seven days in the recycle bin are over", done=False)
    wait_s = ledger.reserve_lookup(kind=part.part, patience_s=PATIENCE_S, urgent=True)
    if wait_s is None or (wait_s and app.stopping.wait(wait_s)):
        text = "nothing was sent: no call of its kind is allowed now; repeat the command"
        return Outcome(part.target, "not_sent", text, done=False)
    response = client.restore(part.target, app_user=app_user)
    if response.status in (200, 204):
        return Outcome(part.target, "restored", "restored; the next look verifies it", done=True)
    answer = labels.answer(response.status, response.code, response.message) or labels.failure_text(response.failure)
    return Outcome(part.target, "refused", f"not restored: {answer}", done=False)
