"""One deletion: where it stands, everything that happened, and what a person may do about it."""

from __future__ import annotations

from collections.abc import Sequence

from worker.deletion import Lane, State
from worker.ledger.read import Deletion
from worker.operations import dead, dead_moves, holds, requests, withdraw, words
from worker.operations import show as shown
from worker.operations.console.dialogs import Dialog, acted, asking
from worker.operations.console.holds import until_ms
from worker.operations.console.visits import Move, Page, View, Visit
from worker.operations.show import Step, UnknownJob
from worker.operations.waiting import WELL

PATH = "/deletions/{project}/{job}"
HOLD = "hold"  # not among the steps: it may be put on almost anything
LABELS = {
    Step.REPLAY: "Replay…",
    Step.DISCARD: "Discard…",
    Step.RESTORE: "Restore…",
    Step.CANCEL: "Cancel…",
    Step.RELEASE: "Remove the hold…",
    Step.REQUEST: "Request again…",
}


def show(visit: Visit) -> Page:
    deletion, now = _found(visit)
    acts = [(step.value, LABELS[step]) for step in shown.steps(deletion)]
    if deletion.state not in (*WELL, State.HELD, State.RUNNING):
        acts.append((HOLD, "Hold…"))
    attempts = len(visit.running.settings.retry_schedule) + 1
    return Page(
        "one.html",
        {
            "d": deletion,
            "now": now,
            "headline": headline(deletion),
            "hold": shown.hold_of(visit.running, deletion),
            "moments": shown.timeline(deletion),
            "left_out": shown.left_out(deletion),
            "budget": None if deletion.state in WELL else f"{deletion.used} of {attempts} attempts used",
            "acts": acts,
            "steps": list(shown.next_steps(deletion)),
            "remedy": words.remedy(deletion.cause) if deletion.state is State.DEAD else None,
        },
    )


def headline(d: Deletion) -> str:
    """Where it stands, in words."""
    if d.state is State.PENDING and d.waiting_for is not None:
        return f"waiting for {words.WAITS[d.waiting_for]}"
    return words.STATES[d.state]


def ask(visit: Visit) -> Page:
    return asking(visit, _dialog(visit))


def do(visit: Visit) -> Move | Page:
    return acted(visit, _dialog(visit), lambda reason, by: _done(visit, reason, by))


def _dialog(visit: Visit) -> Dialog:
    """The dialog of the address. Raises `UnknownJob` for an act that there is not."""
    deletion, _ = _found(visit)
    job, project = deletion.ref.job_id, deletion.ref.project_id
    says: Sequence[str]
    back, which = f"/deletions/{project}/{job}", f"{job} --project {project}"
    match visit.request.path_params["act"]:
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


def _done(visit: Visit, reason: str, by: str) -> Move:
    running, project, job = visit.running, visit.request.path_params["project"], visit.request.path_params["job"]
    match visit.request.path_params["act"]:
        case Step.REPLAY | Step.DISCARD | Step.RESTORE as act:
            told = _moved(visit, Step(act), reason, by)
        case Step.CANCEL:
            told = " ".join(one.text for one in withdraw.withdraw(running, project, [job], reason=reason, by=by))
        case Step.RELEASE:
            told = " ".join(one.text for one in holds.remove(running, project, [job], reason=reason, by=by))
        case Step.REQUEST:
            claim = requests.claim(running, lane=Lane.USER, by=by, reason=reason)
            asked = list(requests.submit(running, project, [job], claim, visit.ring))
            told = "requested: waiting for its turn" if not asked[0].error else asked[0].error
        case _:
            until = until_ms(visit)
            added = holds.add(running, project, [job], reason=reason, by=by, until_ms=until)
            told = " ".join(one.text for one in added)
    return Move(f"/deletions/{project}/{job}", told[:1].upper() + told[1:] + ("" if told.endswith(".") else "."))


def _moved(visit: Visit, step: Step, reason: str, by: str) -> str:
    """A dead or discarded letter that was named."""
    running, project, job = visit.running, visit.request.path_params["project"], visit.request.path_params["job"]
    state = State.DISCARDED if step is Step.RESTORE else State.DEAD
    selection = dead.choose(running, [job], wanted=dead.Filter(project=project), state=state)
    if not (selection.letters and selection.named):  # a word that begins a group chooses all of it
        return "nothing was done: " + ("; ".join(why for _, why in selection.skipped) or f"it is not {state}")
    match step:
        case Step.REPLAY:
            done = dead_moves.replay(running, selection, visit.ring, reason=reason, by=by)
        case Step.DISCARD:
            done = dead_moves.discard(running, selection, reason=reason, by=by)
        case _:
            done = dead_moves.restore(running, selection, reason=reason, by=by)
    if done.done:
        return {Step.REPLAY: "replayed", Step.DISCARD: "discarded"}.get(step, "restored")
    return "nothing was done: " + "; ".join(f"it is {state} by now" for _, state in done.others)


def _found(visit: Visit) -> tuple[Deletion, float]:
    params = visit.request.path_params
    return shown.find(visit.running, params["project"], params["job"])


VIEWS = (View(PATH, show), View(PATH + "/{act}", ask, do))
