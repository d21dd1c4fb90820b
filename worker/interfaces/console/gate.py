"""The gate: whether each account may be called now, and the emergency stop, which has no cap."""

from __future__ import annotations

from collections.abc import Sequence

from worker.interfaces.console import dialogs
from worker.interfaces.console.dialogs import Dialog
from worker.interfaces.console.request_context import Page, RequestContext, View
from worker.ledger.records import AccountStatus
from worker.model.errors import UsageError
from worker.services import labels, pause, status
from worker.services.act import Approval

FEW = 4  # up to this many accounts are all shown; of more only some that are not open


def show(context: RequestContext) -> Page:
    overview = status.look(context.app)
    accounts = overview.accounts if len(overview.accounts) <= FEW else sorted(overview.accounts, key=is_open)
    return Page("gate.html", {"accounts": accounts, "now": overview.now})


def is_open(account: AccountStatus) -> bool:
    return account.gate.gate in ("ok", "clock")


def worth_a_look(accounts: Sequence[AccountStatus]) -> list[AccountStatus]:
    """All accounts if they are few; otherwise some that are not open."""
    few = len(accounts) <= FEW
    return [account for account in accounts if few or not is_open(account)][:FEW]


def _dialog(context: RequestContext) -> Dialog:
    account, verb = context.request.path_params["account"], context.request.path_params["verb"]
    if account not in context.app.settings.accounts or verb not in ("pause", "resume"):
        raise UsageError("unknown account or action: see the Gate page")

    def stop(approval: Approval) -> str:
        list(pause.pause(context.app, [account], approval))
        return f"Account {account} is paused: no call is sent."

    def go(approval: Approval) -> str:
        (one,) = pause.resume(context.app, [account], approval)
        return f"Account {account} is open again. {labels.first_call(one.rest_s)}"

    command = f"eraser {verb} --account {account}"
    if verb == "pause":
        stops = "No call is sent until an operator resumes it."
        says = (stops, "Requests are still recorded; a call in progress is finished.")
        return Dialog(f"Pause account {account}", says, "Pause now", "/gate", stop, dangerous=True, command=command)
    probes = "Calls are allowed again. The first one is a probe; if it fails, the gate closes by itself."
    return Dialog(f"Resume account {account}", [probes], "Resume", "/gate", go, command=command)


VIEWS = (View("/gate", show), dialogs.view("/gate/{account}/{verb}", _dialog))
