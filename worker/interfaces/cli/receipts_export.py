"""`eraser receipts export`: receipts in a file that anyone can verify, and what of them is not erased."""

from __future__ import annotations

import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import click

from worker.config.personal import check_opaque
from worker.interfaces.cli.output import Reading
from worker.interfaces.cli.printing import for_programs, json_line, json_option, note, say
from worker.interfaces.cli.receipt_counts import account_option, entered, lines, open_line, since_option
from worker.model.errors import UsageError
from worker.model.target import Target
from worker.receipts.serialization import Form
from worker.services import receipts_envelopes as envelopes
from worker.services import receipts_export as exports
from worker.services import request
from worker.services.receipts_envelopes import DSSE
from worker.services.times import parse_since


@click.command(cls=Reading)
@since_option
@click.option("--until", metavar="T", help="What finished before then; else up to now.")
@click.option("--run", metavar="R", help="Only what this run requested: a selection.")
@click.option("--job", metavar="JOB_ID", help="Only this job: a selection.")
@click.option("--project", metavar="P", help="Of --job; needed unless exactly one is configured.")
@click.option(
    "-o", "--format", "form", type=click.Choice([*map(str, Form), DSSE]), default="jsonl", help="Default: jsonl."
)
@click.option("--to", "to", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Else to stdout.")
@click.option("--ssh-signature", is_flag=True, help="Also write FILE.sig, for ssh-keygen -Y verify.")
@click.option("--overwrite", is_flag=True, help="Replace FILE if it exists.")
@account_option
@json_option
def export(
    since: str | None,
    until: str | None,
    run: str | None,
    job: str | None,
    project: str | None,
    form: str,
    to: Path | None,
    ssh_signature: bool,
    overwrite: bool,
    account: str | None,
) -> None:
    """Write receipts to a file or stdout, and a summary beside them; signed if ERASER_RECEIPT_KEY_FILE is set.

    A selection (--run, --job) has single receipts of the chain: each can be verified, and that none was added or
    removed since, but not that the selection is complete.

    \b
    eraser receipts export --since 2026-11-01 --until 2026-12-01 --to receipts.jsonl
    eraser receipts export -o csv > receipts.csv
    eraser receipts export -o dsse --to receipts.dsse
    """
    if ssh_signature and to is None:
        raise UsageError("--ssh-signature: a signature lies beside its file: name one with --to")
    app, name, since_ms = entered("export", account, since)
    wanted = exports.Wanted(since_ms=since_ms, run=check_opaque(run, "run", known=True))
    if until:
        wanted = replace(wanted, until_ms=parse_since(until, "--until", app.queries(name).now_ms()))
    if job:
        wanted = replace(wanted, job=Target.named(request.project_of(app, project), request.checked(app, job)))
    if ssh_signature and to:
        envelopes.check_ssh(app, to, overwrite=overwrite)
    replaced = to is not None and to.exists()
    with tempfile.TemporaryDirectory(prefix="eraser-") as scratch:
        path = to or Path(scratch) / "receipts"
        if form == DSSE:
            made = envelopes.export(app, name, path, wanted, overwrite=overwrite)
        else:
            made = exports.export(app, name, path, Form(form), wanted, overwrite=overwrite)
        signed = envelopes.ssh_sign(app, path) if ssh_signature else None
        if to is None:
            with path.open("rb") as file:
                while piece := file.read(65536):
                    click.echo(piece, nl=False)
    if for_programs():
        found = exports.file_json(made.summary, made.trailer) | {"open": made.still_open, "fault": made.fault}
        json_line(found, beside=to is None)
    else:
        _tell(made, name, to, replaced=replaced, enveloped=form == DSSE)
        if signed:
            say(f"For ssh-keygen: {signed}, by the key {envelopes.ssh_key(app)}")
    sys.exit(1 if made.fault else 0)


def _tell(made: exports.Exported, account: str, to: Path | None, *, replaced: bool, enveloped: bool) -> None:
    tell = say if to else note
    of, signature = made.trailer["selection"], made.trailer["signature"]
    instead = ", in the place of the file that was there" if replaced else ""
    tell(f"Receipts of account {account}{f', {of}' if of else ''}{f', written to {to}{instead}' if to else ''}")
    for line in lines(made.summary):
        tell(line)
    tell(open_line(made.still_open, of or f"account {account}"))
    tell(f"  head         {made.trailer['head']}")
    tell(f"  signed by    {signature['key'] if signature else 'nobody: ERASER_RECEIPT_KEY_FILE is not set'}")
    if enveloped:
        tell("Each line is an envelope that can be verified by itself: see docs/proof.md")
        return
    if made.fault:
        tell(f"It does not verify: {made.fault}")
    tell(f"Keep the head elsewhere. Then: eraser receipts verify {to or 'FILE'} --head {made.trailer['head']}")
