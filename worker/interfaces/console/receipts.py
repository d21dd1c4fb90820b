"""Receipts: what ended, found by job or by time; files of them to save; and a file that somebody hands in, verified."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

from worker.config.personal import check_opaque
from worker.interfaces.console.request_context import FileDownload, Page, Redirect, RequestContext, View
from worker.ledger.receipts import place
from worker.model.errors import EraserError, SettingsError, UsageError
from worker.model.ids import why_bad_id
from worker.model.target import Target
from worker.receipts.serialization import Form
from worker.services import receipts, receipts_verify, request
from worker.services import receipts_export as exports
from worker.services.pause import check_account
from worker.services.times import parse_since

PATH = "/receipts"
VERIFY = f"{PATH}/verify"
ROWS = 50
LARGEST = 16 * 1024 * 1024  # bytes of a file that is verified: about 13,000 receipts
LATELY = "24h"
_KINDS = {Form.CSV: "text/csv; charset=utf-8"}


def show(context: RequestContext) -> Page | Redirect:
    """By job: its certificate. Else what ended in a project since then, page by page."""
    fields = {name: context.query(name) for name in ("job", "project", "since")}
    try:
        if fields["job"]:
            return Redirect(_certificate(context, fields["job"], fields["project"]))
        found, why_not = _since(context, fields), ""
    except (UsageError, SettingsError) as error:
        found, why_not = None, str(error)
    return _page(context, fields, found, why_not=why_not)


def _certificate(context: RequestContext, job: str, project: str) -> str:
    if why := Target.why_not_named(job):
        raise UsageError(why)
    return f"/deletions/{request.project_of(context.app, project or None)}/{job}/certificate"


def _since(context: RequestContext, fields: dict[str, str]) -> receipts.Settled | None:
    if not (project := fields["project"] or context.app.settings.default_project()):
        return None
    if why := why_bad_id(project, "project id"):
        raise UsageError(why)
    cursor = context.query("from")
    if not cursor:
        since = parse_since(fields["since"] or LATELY, "since", context.app.redis_ms())
        cursor = f"{max(0, int(since))}-0"
        if not fields["since"]:  # what is shown unasked begins with the oldest that is left, where that is later
            archived = context.app.receipts(context.app.home_of(project)).progress().archived.id
            cursor = max(cursor, archived, key=place)
    return receipts.settled_since(context.app, project, cursor, ROWS)


def _page(
    context: RequestContext, fields: dict[str, str], found: receipts.Settled | None, *, why_not: str = ""
) -> Page:
    app = context.app
    values: dict[str, object] = {"fields": fields, "found": found, "why_not": why_not, "lately": LATELY}
    values |= {"forms": list(Form)}
    values |= {"accounts": app.known_accounts(), "default": app.settings.default_project() or "", "verdict": None}
    values |= {"signed": app.settings.receipt_key is not None, "largest": LARGEST // 1024 // 1024}
    return Page("receipts.html", values, 422 if why_not else 200)


def export(context: RequestContext) -> FileDownload | Page:
    """A file of receipts, as `eraser receipts export` writes it; nothing of it is kept here."""
    app = context.app
    form = context.query("form") or Form.JSONL
    folder = Path(tempfile.mkdtemp(prefix="eraser-"))
    try:
        if form not in tuple(Form):
            raise UsageError(f"form: expected one of {', '.join(Form)}")
        account = check_account(context.query("account") or next(iter(app.settings.accounts)), app.known_accounts())
        made = exports.export(app, account, folder / "receipts", Form(form), _wanted(context))
        if made.fault:
            raise EraserError(f"these receipts do not verify: {made.fault}")
    except EraserError as error:
        shutil.rmtree(folder, ignore_errors=True)
        return _page(context, dict.fromkeys(("job", "project", "since"), ""), None, why_not=str(error))
    kind = _KINDS.get(Form(form), "application/jsonl")
    return FileDownload(folder / "receipts", f"receipts-{account}.{form}", kind)


def _wanted(context: RequestContext) -> exports.Wanted:
    now = context.app.redis_ms()
    since, until, job = (context.query(name) for name in ("since", "until", "job"))
    wanted = exports.Wanted(run=check_opaque(context.query("run") or None, "run", known=True))
    if since:
        wanted = replace(wanted, since_ms=parse_since(since, "since", now))
    if until:
        wanted = replace(wanted, until_ms=parse_since(until, "until", now))
    if job:
        project = request.project_of(context.app, context.query("project") or None)
        wanted = replace(wanted, job=Target.named(project, request.checked(context.app, job)))
    return wanted


def verify(context: RequestContext) -> Page:
    """The verdict on a file. It is read in memory, and kept nowhere."""
    written = context.files.get("file", b"")
    page = _page(context, dict.fromkeys(("job", "project", "since"), ""), None)
    if not 0 < len(written) <= LARGEST:
        return Page(page.template, {**page.values, "why_not": f"choose a file, of at most {LARGEST:,} bytes"}, 422)
    signer = exports.signer(context.app) if context.field("by_key") == "yes" else None
    head = context.field("head") or None
    verdict = receipts_verify.judge(written, key=signer.verifier if signer else None, head=head)
    return Page(page.template, {**page.values, "verdict": verdict})


VIEWS = (View(PATH, show), View(f"{PATH}/export", export), View(VERIFY, show, verify, largest=LARGEST))
