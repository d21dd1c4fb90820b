"""One deletion: its state, everything that happened, and the possible actions."""

from __future__ import annotations

from collections.abc import Sequence

from worker.interfaces.console.dialogs import Dialog, acted, asking
from worker.interfaces.console.holds import until_ms
from worker.interfaces.console.request_context import Page, Redirect, RequestContext, View
from worker.ledger.records import Deletion
from worker.model.states import Lane, State
from worker.services import cancel, dead_letter_actions, dead_letters, hold, labels, request
from worker.services import show as shown
from worker.services.show import Step, UnknownJob
from worker.services.wait import WELL

PATH = "/deletions/{project}/{job}"
HOLD = "hold"  # not among the steps, because almost any deletion can be put on hold
LABELS = {
    Step.REPLAY: "Replay…",
    Step.DISCARD: "Discard…",
    Step.RESTORE: "Restore…",
    Step.CANCEL: "Cancel…",
    Step.RELEASE: "Remove the hold…",
    Step.REQUEST: "Request again…",
}


def show(context: RequestContext) -> Page:
    deletion, now = _found(context)
    actions = [(step.value, LABELS[step]) for step in shown.steps(deletion)]
    if deletion.state not in (*WELL, State.HELD, State.RUNNING):
        actions.append((HOLD, "Hold…"))
    attempts = len(context.app.settings.retry_schedule) + 1
    return Page(
        "one.html",
        {
            "d": deletion,
            "now": now,
            "headline": headline(deletion),
            "hold": shown.hold_of(context.app, deletion),
            "moments": shown.timeline(deletion),
            "left_out": shown.left_out(deletion),
            "budget": None if deletion.state in WELL else f"{deletion.used} of {attempts} attempts used",
            "acts": actions,
            "steps": list(shown.next_steps(deletion)),
            "remedy": labels.remedy(deletion.cause) if deletion.state is State.DEAD else None,
        },
    )


def headline(d: Deletion) -> str:
    """The state in words."""
    if d.state is State.PENDING and d.waiting_for is not None:
        return f"waiting for {labels.WAITS[d.waiting_for]}"
    return labels.STATES[d.state]


def ask(context: RequestContext) -> Page:
    return asking(context, _dialog(context))


def do(context: RequestContext) -> Redirect | Page:
    return acted(context, _dialog(context), lambda reason, by: _done(context, reason, by))


def _dialog(context: RequestContext) -> Dialog:
    """The dialog of the address. Raises `UnknownJob` for an unknown action."""
    deletion, _ = _found(context)
    job, project = deletion.ref.name, deletion.ref.project_id
    says: Sequence[str]
    back, which = f"/deletions/{project}/{job}", f"{job} --project {project}"
    match context.request.path_params["act"]:
        case Step.REPLAY:
            says = ("A new round starts at once, before bulk work, with a full budget of attempts and a new deadline.",)
            return Dialog(f"Replay {job}", says, "Replay", back, command=f"eraser dead replay {which}")
        case Step.DISCARD:
            says = ("Nothing more is sent for it.", "It can be restored within 30 days.")
            return Dialog(
                f"Discard {job}", says, "Discard", back, dangerous=True, command=f"eraser dead discard {which}"
            )
        case Step.RESTORE:
            says = ("It is a dead letter again, as it was.",)
            return Dialog(f"Restore {job}", says, "Restore", back, command=f"eraser dead restore {which}")
        case Step.CANCEL:
            says = ("Every request for it is withdrawn.", "A call in progress is finished first.")
            return Dialog(f"Cancel {job}", says, "Withdraw the requests", back, command=f"eraser cancel {which}")
        case Step.RELEASE:
            says = ("Its deletion continues, with the time it had left.",)
            return Dialog(
                f"Remove the hold of {job}", says, "Remove the hold", back, command=f"eraser hold remove {which}"
            )
        case Step.REQUEST:
            says = ("It is requested again, in the user lane.",)
            return Dialog(f"Request {job} again", says, "Request the deletion", back, command=f"eraser request {job}")
        case "hold":
            says = ("Nothing is sent for this job, whoever requests it, until the hold is removed or ends.",)
            return Dialog(f"Hold {job}", says, "Put on hold", back, command=f"eraser hold add {which}", until=True)
        case _:
            raise UnknownJob("unknown action for a deletion")


def _done(context: RequestContext, reason: str, by: str) -> Redirect:
    app, project, job = context.app, context.request.path_params["project"], context.request.path_params["job"]
    match context.request.path_params["act"]:
        case Step.REPLAY | Step.DISCARD | Step.RESTORE as action:
            message = _moved(context, Step(action), reason, by)
        case Step.CANCEL:
            message = " ".join(one.text for one in cancel.cancel(app, project, [job], reason=reason, by=by))
        case Step.RELEASE:
            message = " ".join(one.text for one in hold.remove(app, project, [job], reason=reason, by=by))
        case Step.REQUEST:
            claim = request.deletion_request(app, lane=Lane.USER, by=by, reason=reason)
            requested = list(request.submit(app, project, [job], claim, context.notify))
            message = "requested: waiting for its turn" if not requested[0].error else requested[0].error
        case _:
            until = until_ms(context)
            added = hold.add(app, project, [job], reason=reason, by=by, until_ms=until)
            message = " ".join(one.text for one in added)
    return Redirect(
        f"/deletions/{project}/{job}", message[:1].upper() + message[1:] + ("" if message.endswith(".") else ".")
    )


def _moved(context: RequestContext, step: Step, reason: str, by: str) -> str:
    """Replay, discard or restore a named deletion."""
    app, project, job = context.app, context.request.path_params["project"], context.request.path_params["job"]
    state = State.DISCARDED if step is Step.RESTORE else State.DEAD
    selection = dead_letters.choose(app, [job], wanted=dead_letters.DeadLetterFilter(project=project), state=state)
    if not (selection.letters and selection.named):  # a word that is the prefix of a group selects the whole group
        return "nothing was done: " + ("; ".join(why for _, why in selection.skipped) or f"it is not {state}")
    match step:
        case Step.REPLAY:
            done = dead_letter_actions.replay(app, selection, context.notify, reason=reason, by=by)
        case Step.DISCARD:
            done = dead_letter_actions.discard(app, selection, reason=reason, by=by)
        case _:
            done = dead_letter_actions.restore(app, selection, reason=reason, by=by)
    if done.done:
        return {Step.REPLAY: "replayed", Step.DISCARD: "discarded"}.get(step, "restored")
    return "nothing was done: " + "; ".join(f"it is {state} by now" for _, state in done.others)


def _found(context: RequestContext) -> tuple[Deletion, float]:
    params = context.request.path_params
    return shown.find(context.app, params["project"], params["job"])


VIEWS = (View(PATH, show), View(PATH + "/{act}", ask, do))
