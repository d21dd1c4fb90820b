"""The gate: may each account be called now, and the red button. It is never capped."""

from __future__ import annotations

from collections.abc import Sequence

from worker.errors import UsageError
from worker.ledger.read import AccountStatus
from worker.operations import gates, status, words
from worker.operations.console.dialogs import Dialog, acted, asking
from worker.operations.console.visits import Move, Page, View, Visit

FEW = 4  # accounts that keep their places; of more nobody looks for the one that is closed


def show(visit: Visit) -> Page:
    seen = status.look(visit.running)
    accounts = seen.accounts if len(seen.accounts) <= FEW else sorted(seen.accounts, key=is_open)
    return Page("gate.html", {"accounts": accounts, "now": seen.now})


def is_open(account: AccountStatus) -> bool:
    return account.gate.gate in ("ok", "clock")


def worth_a_look(accounts: Sequence[AccountStatus]) -> list[AccountStatus]:
    """All of a few; of many some that are not open."""
    few = len(accounts) <= FEW
    return [account for account in accounts if few or not is_open(account)][:FEW]


def ask(visit: Visit) -> Page:
    return asking(visit, _dialog(visit))


def do(visit: Visit) -> Move | Page:
    return acted(visit, _dialog(visit), lambda reason, by: _done(visit, reason, by))


def _dialog(visit: Visit) -> Dialog:
    account, verb = visit.request.path_params["account"], visit.request.path_params["verb"]
    if account not in visit.running.settings.accounts or verb not in ("pause", "resume"):
        raise UsageError("unknown account or action: see the Gate page")
    says: Sequence[str]
    command = f"eraser {verb} --account {account}"
    if verb == "pause":
        says = (
            "No call is sent until an operator resumes it.",
            "Requests are still recorded; a call in progress is finished.",
        )
        return Dialog(f"Pause account {account}", says, "Pause now", "/gate", dangerous=True, command=command)
    says = ("Calls are allowed again. The first one is a probe; if it fails, the gate closes by itself.",)
    return Dialog(f"Resume account {account}", says, "Resume", "/gate", command=command)


def _done(visit: Visit, reason: str, by: str) -> Move:
    account = visit.request.path_params["account"]
    if visit.request.path_params["verb"] == "pause":
        list(gates.pause(visit.running, [account], reason=reason, by=by))
        return Move("/gate", f"Account {account} is paused: no call is sent.")
    (one,) = gates.resume(visit.running, [account], visit.ring, reason=reason, by=by)
    return Move("/gate", f"Account {account} is open again. {words.first_call(one.rest_s)}")


VIEWS = (View("/gate", show), View("/gate/{account}/{verb}", ask, do))
