"""One deletion: its state, everything that happened, and the possible actions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from worker.interfaces.console import dialogs
from worker.interfaces.console.dialogs import Dialog
from worker.interfaces.console.request_context import Page, RequestContext, View
from worker.ledger.records import Deletion
from worker.model.states import Lane, State
from worker.model.target import Target
from worker.services import archived, cancel, dead_letter_actions, dead_letters, hold, labels, request
from worker.services import show as shown
from worker.services.act import Approval, Outcome
from worker.services.calls_sent import doubt
from worker.services.dead_letter_actions import Verb
from worker.services.show import Step, UnknownJob
from worker.services.wait import WELL

PATH = "/deletions/{project}/{job}"
# by action: the title of its dialog, the button, and what will happen
DIALOGS = {
    Step.REPLAY: (
        "Replay {}",
        "Replay",
        "A new round starts at once, before bulk work, with a full budget of attempts and a new deadline.",
    ),
    Step.DISCARD: ("Discard {}", "Discard", "Nothing more is sent for it. It can be restored within 30 days."),
    Step.RESTORE: ("Restore {}", "Restore", "It is a dead letter again, as it was."),
    Step.CANCEL: (
        "Cancel {}",
        "Withdraw the requests",
        "Every request for it is withdrawn. A call in progress is finished first.",
    ),
    Step.RELEASE: ("Remove the hold of {}", "Remove the hold", "Its deletion continues, with the time it had left."),
    Step.REQUEST: ("Request {} again", "Request the deletion", "It is requested again, in the user lane."),
    Step.RELATED_ERASE: (
        "Delete what was left behind",
        "",
        "",
    ),  # their dialogs: see `worker.interfaces.console.related`
    Step.RELATED_RESTORE: ("Restore what was left behind", "", ""),
    Step.HOLD: (
        "Hold {}",
        "Put on hold",
        "Nothing is sent for this job, whoever requests it, until the hold is removed or ends.",
    ),
}


def show(context: RequestContext) -> Page:
    deletion, now = _found(context)
    may_hold = deletion.state not in (*WELL, State.HELD, State.RUNNING)
    hold = shown.hold_of(context.app, deletion)
    steps = [*shown.steps(deletion, hold), *([Step.HOLD] if may_hold else [])]
    attempts = len(context.app.settings.retry_schedule) + 1
    return Page(
        "one.html",
        {
            "d": deletion,
            "now": now,
            "headline": shown.headline(deletion),
            "doubt": doubt(deletion),
            "archived": archived.in_words(deletion.archived) if deletion.archived else None,
            "hold": hold,
            "moments": shown.timeline(deletion),
            "left_out": shown.left_out(deletion),
            "budget": None if deletion.state in WELL else f"{deletion.used} of {attempts} attempts used",
            "acts": [(step, _label(DIALOGS[step][0])) for step in steps],
            "steps": list(shown.next_steps(deletion, hold)),
            "remedy": labels.remedy(deletion.cause) if deletion.state is State.DEAD else None,
        },
    )


def _label(title: str) -> str:
    """`Remove the hold…`, from `Remove the hold of {}`."""
    return " ".join(title.removesuffix(" of {}").format("").split()) + "…"


def _dialog(context: RequestContext) -> Dialog:
    """The dialog of the address. Raises `UnknownJob` for an unknown action."""
    deletion, _ = _found(context)
    project, job, name = deletion.ref.project_id, deletion.ref.name, context.request.path_params["act"]
    if name not in tuple(Step):
        raise UnknownJob("unknown action for a deletion")
    step = Step(name)
    title, button, says = DIALOGS[step]

    def do(approval: Approval) -> str:
        message = _done(context, step, project, job, approval)
        return message[:1].upper() + message[1:] + ("" if message.endswith(".") else ".")

    command, dangerous = f"{shown.COMMANDS[step]} {job} --project {project}", step is Step.DISCARD
    back, until = f"/deletions/{project}/{job}", step is Step.HOLD
    return Dialog(title.format(job), [says], button, back, do, dangerous=dangerous, command=command, until=until)


def _done(context: RequestContext, step: Step, project: str, job: str, approval: Approval) -> str:
    app = context.app
    match step:
        case Step.CANCEL:
            found: Sequence[Outcome] = list(cancel.cancel(app, project, [job], approval))
        case Step.RELEASE:
            found = hold.remove(app, project, [job], approval)
        case Step.REQUEST:
            terms = request.deletion_request(app, lane=Lane.USER, by=approval.by, reason=approval.reason)
            (requested,) = request.submit(app, project, [job], terms)
            return requested.error or "requested: waiting for its turn"
        case Step.HOLD:
            until_ms = hold.end_of(app, context.field("until")[:40], "until")
            found = hold.add(app, project, [job], approval, until_ms=until_ms)
        case _:
            found = _move(context, Verb[step.upper()], project, job, approval)
    return " ".join(one.text for one in found)


def _move(context: RequestContext, verb: Verb, project: str, job: str, approval: Approval) -> Sequence[Outcome]:
    """Replay, discard or restore it. Raises `EraserError` if it is in another state by now."""
    wanted = dead_letters.DeadLetterFilter(project=project)
    selection = dead_letters.choose(context.app, [job], wanted=wanted, state=verb.source)
    if not selection.named:  # a word that is the prefix of a group selects the whole group
        return [Outcome(Target.named(project, job), None, f"nothing was done: it is not {verb.source}", done=False)]
    found = dead_letter_actions.carry_out(context.app, verb, selection, approval)
    return [one if one.done else replace(one, text=f"nothing was done: {one.text}") for one in found]


def _found(context: RequestContext) -> tuple[Deletion, float]:
    params = context.request.path_params
    return shown.find(context.app, params["project"], params["job"])


VIEWS = (View(PATH, show), dialogs.view(PATH + "/{act}", _dialog))
