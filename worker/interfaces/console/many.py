"""Acting on many deletions of a list: those that are ticked, or all that its filters find, after one plan."""

from __future__ import annotations

from urllib.parse import urlencode

from worker.interfaces.console import dialogs
from worker.interfaces.console.dialogs import Dialog
from worker.interfaces.console.request_context import Page, Redirect, RequestContext
from worker.model.errors import UsageError
from worker.model.states import State
from worker.model.target import Target
from worker.services import filters, hold, many, show
from worker.services.act import Approval, Plan
from worker.services.dead_letters import FEW
from worker.services.many import Selection
from worker.services.show import Step

PATH = "/deletions/selected"
TICKED = 1_000  # one page of a list has fewer
NAMED = 20  # deletions that a dialog lists
ROWS = 500  # outcomes that a page lists; those that were not done come first
BUTTONS = {
    Step.CANCEL: "Withdraw the requests",
    Step.HOLD: "Put on hold",
    Step.RELEASE: "Remove the holds",
    Step.REPLAY: "Replay",
    Step.DISCARD: "Discard",
    Step.RESTORE: "Restore",
    Step.REQUEST: "Request the deletions",
}
LABELS = {
    Step.CANCEL: "Cancel…",
    Step.HOLD: "Hold…",
    Step.RELEASE: "Remove the hold…",
    Step.REPLAY: "Replay…",
    Step.DISCARD: "Discard…",
    Step.RESTORE: "Restore…",
    Step.REQUEST: "Request again…",
}
SAYS = {
    Step.CANCEL: "Every request for each is withdrawn. Calls in progress are finished first.",
    Step.HOLD: "Nothing is sent for these, whoever requests it, until the hold is removed or ends.",
    Step.RELEASE: "Each deletion continues, with the time it had left.",
    Step.REPLAY: "Each begins a new round at once, before bulk work, with a full budget of attempts.",
    Step.DISCARD: "Nothing more is sent for them. They can be restored within 30 days.",
    Step.RESTORE: "They are dead letters again, as they were.",
    Step.REQUEST: "Each is requested again.",
}
CANARY = (
    "One dead letter goes first; if it fails again, the replay stops. Then ten, then up to a hundred, then the rest at "
    "the account’s rate. What is on hold stays dead."
)


def _dialog(context: RequestContext) -> Dialog:
    step = _step(context)
    selection = _selection(context, step)
    back = _back(context)
    number = len(selection.meant)

    def do(approval: Approval) -> str | Page | Redirect:
        until_ms = hold.end_of(context.app, context.field("until")[:40], "until") if step is Step.HOLD else None
        done = many.carry_out(context.app, selection, approval, until_ms=until_ms)
        if done.replay:
            return Redirect(f"/replays/{done.replay}")
        if not done.undone:
            return many.in_words(selection, done)
        results = sorted(done.outcomes, key=lambda one: one.done)
        title, more = many.in_words(selection, done), max(0, len(results) - ROWS)
        return Page("results.html", {"title": title, "results": results[:ROWS], "more": more, "back": back})

    plan = many.plan(selection)
    title = plan.title[:1].upper() + plan.title[1:]
    says = _says(step, selection, plan)
    button = BUTTONS[step] if number else ""
    return Dialog(
        title,
        says,
        button,
        back,
        do,
        dangerous=step is Step.DISCARD,
        count=number if step not in many.STOPS else 1,
        planned=number,
        until=step is Step.HOLD,
        named=[(f"/deletions/{ref.project_id}/{ref.name}", ref.name) for ref in selection.meant[:NAMED]],
        unnamed=max(0, number - NAMED),
        command=_command(step, selection),
    )


def _says(step: Step, selection: Selection, plan: Plan) -> list[str]:
    if not selection.meant:
        return [*plan.remarks] or ["Nothing is ticked: go back to the list, and choose."]
    what = CANARY if step is Step.REPLAY and len(selection.meant) > FEW else SAYS[step]
    projects = [f"project {project}: {number:,}" for project, number in plan.numbers.items()]
    return [what, *(projects if len(projects) > 1 else []), *plan.remarks]


def _step(context: RequestContext) -> Step:
    word = context.query("do")
    if word not in many.SOURCES:
        raise UsageError("choose one of the buttons below the list")
    return Step(word)


def _selection(context: RequestContext, step: Step) -> Selection:
    if context.query("which") == "all":
        fields = {name: context.query(name) for name in filters.EVERY}
        wanted = filters.read(fields | {"state": fields["state"] or State.PENDING.value}, context.app.redis_ms())
        return many.found(context.app, step, wanted)
    ticked = context.request.query_params.getlist("one")[:TICKED]
    return many.named(context.app, step, map(Target.parse, ticked))


def _back(context: RequestContext) -> str:
    """The list, as it was."""
    fields = {name: context.query(name, 2_000) for name in (*filters.EVERY, "from")}
    return "/deletions?" + urlencode({name: value for name, value in fields.items() if value})


def _command(step: Step, selection: Selection) -> str:
    """The same on the command line, where it fits a line."""
    projects = {ref.project_id for ref in selection.meant}
    if len(projects) != 1 or len(selection.meant) > NAMED:
        return ""
    names = " ".join(ref.name for ref in selection.meant)
    return f"{show.COMMANDS[step]} {names} --project {next(iter(projects))}"


VIEWS = (dialogs.view(PATH, _dialog),)
