"""What deleted jobs left behind: the list, deleting it, and taking it out of the recycle bin."""

from __future__ import annotations

from collections.abc import Sequence

from worker.interfaces.console import dialogs, paging
from worker.interfaces.console.dialogs import Dialog
from worker.interfaces.console.request_context import Page, RequestContext, View
from worker.ledger.erasures import ErasureRow
from worker.ledger.index_walk import Place
from worker.model.erasure import LEFT, Verdict
from worker.model.errors import EraserError, UsageError
from worker.model.ids import why_bad_id
from worker.services import related, related_restore, show
from worker.services.act import Approval, Outcome
from worker.services.labels import count
from worker.services.related import Selection

PATH = "/related"
ONE = "/deletions/{project}/{job}"
LISTED = 20  # parts that a dialog names
VERDICTS = (*LEFT, Verdict.PENDING)
_ERASE = "Workers look once more, delete each of these parts, and look again."
_RESTORE = "Nothing of this job is deleted from then on. The look that follows says that it is there."


def page(context: RequestContext) -> Page:
    """Filters: the verdict (without one: whatever was left behind), and the project."""
    app = context.app
    fields = {name: context.query(name) for name in ("verdict", "project")}
    values = {"fields": fields, "verdicts": VERDICTS, "now": app.redis_ms(), "page": None}
    if why := _why_not(fields):
        return Page("related.html", values | {"why_not": why}, 422)
    found = related.each(app, left=fields["verdict"] in ("", *LEFT), project=fields["project"] or None)
    wanted = ((account, one) for account, one in found if fields["verdict"] in ("", one.record.verdict))
    listed = paging.cut(context, wanted, _place)
    rows = [(one, list(related.parts(one))) for _, one in listed.rows]
    return Page("related.html", values | {"why_not": "", "page": listed, "rows": rows})


def _place(found: tuple[str, ErasureRow]) -> Place:
    """The oldest first."""
    account, one = found
    return Place(float(one.record.opened), account, "", str(one.record.job).encode())


def _why_not(fields: dict[str, str]) -> str | None:
    if fields["verdict"] and fields["verdict"] not in VERDICTS:
        return f"verdict: expected one of {', '.join(VERDICTS)}"
    return why_bad_id(fields["project"]) if fields["project"] else None


def _erase_all(context: RequestContext) -> Dialog:
    project = context.query("project") or None
    if project and (why := why_bad_id(project)):
        raise UsageError(why)
    selection = related.all_left(context.app, project)
    number = len(selection.meant)

    def do(approval: Approval) -> str:
        done = related.erase(context.app, selection, approval, app_user=None, of="all that is left")
        return f"Asked for: what {count(sum(one.done for one in done), 'job')} left behind is deleted."

    title = f"Delete what {count(number, 'job')} left behind" if number else "Delete what was left behind"
    says = [*_says("delete", "erased", selection), _ERASE] if number else _nothing(selection)
    command = f"eraser related erase --all-left{f' --project {project}' if project else ''}"
    button = "Delete it" if number else ""
    return Dialog(title, says, button, PATH, do, dangerous=True, command=command, count=number)


def _erase(context: RequestContext) -> Dialog:
    project, job = _named(context)
    selection = related.to_erase(context.app, project, [job])

    def do(approval: Approval) -> str:
        found = related.erase(context.app, selection, approval, app_user=_app_user(context), of=None)
        return _text(found)

    says, button = [*_says("delete", "erased", selection), _ERASE], "Delete it"
    return _of_one(context, "Delete what {} left behind", selection, says, button, do, "erase")


def _restore(context: RequestContext) -> Dialog:
    project, job = _named(context)
    selection = related.to_restore(context.app, project, job)

    def do(approval: Approval) -> str:
        return _text(related_restore.restore(context.app, selection, approval, app_user=_app_user(context)))

    says, button = [*_says("restore", "restored", selection), _RESTORE], "Restore it"
    return _of_one(context, "Restore what {} left behind", selection, says, button, do, "restore")


def _of_one(
    context: RequestContext,
    title: str,
    selection: Selection,
    says: Sequence[str],
    button: str,
    do: dialogs.Do,
    verb: str,
) -> Dialog:
    """Whose job it was has to be named where it is forgotten already: only they may see its parts."""
    project, job = _named(context)
    unknown = any(one.app_user is None for one in selection.meant)
    command = f"eraser related {verb} {job} --project {project}"
    back = ONE.format(project=project, job=job)
    if not selection.meant:
        return Dialog(title.format(job), _nothing(selection), "", back, do)
    return Dialog(
        title.format(job), says, button, back, do, dangerous=verb == "erase", command=command, app_user=unknown
    )


def _named(context: RequestContext) -> tuple[str, str]:
    """The project and the job of the address. Raises `UnknownJob` and `UsageError`."""
    params = context.request.path_params
    deletion, _ = show.find(context.app, params["project"], params["job"])
    return deletion.ref.project_id, deletion.ref.name


def _app_user(context: RequestContext) -> str | None:
    return context.field("app_user") or None


def _says(verb: str, done: str, selection: Selection) -> list[str]:
    remarks = related.plan(verb, done, selection).remarks
    rest = [f"… and {len(remarks) - LISTED:,} lines more"] if len(remarks) > LISTED else []
    return [*remarks[:LISTED], *rest]


def _nothing(selection: Selection) -> list[str]:
    return [one.text for one in selection.skipped()][:LISTED] or ["Nothing was left behind."]


def _text(found: Sequence[Outcome]) -> str:
    """What became of each. Raises `EraserError` where nothing was done at all."""
    text = " ".join(f"{one.target.name}: {one.text}." for one in found)
    if not any(one.done for one in found):
        raise EraserError(text)
    return text


VIEWS = (
    View(PATH, page),
    dialogs.view(f"{PATH}/erase", _erase_all),
    dialogs.view(f"{ONE}/related-erase", _erase),
    dialogs.view(f"{ONE}/related-restore", _restore),
)
