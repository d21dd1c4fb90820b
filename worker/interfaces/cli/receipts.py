"""`eraser receipts`: the result of each deletion, in a file that anyone can verify; and whether it is still true."""

from __future__ import annotations

import filecmp
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import click

from worker.execution.app_context import AppContext
from worker.interfaces.cli import startup
from worker.interfaces.cli.acting import acting, show, yes_option
from worker.interfaces.cli.output import Reading
from worker.interfaces.cli.printing import for_programs, json_line, json_option, note, result, say
from worker.interfaces.cli.progress import progress
from worker.model.errors import EraserError, UsageError
from worker.receipts import verify as verifying
from worker.receipts.dayfiles import paths_in, raw_lines
from worker.receipts.serialization import Form
from worker.receipts.signature import Verifier
from worker.receipts.summary import Summary
from worker.services import receipts_export as exports
from worker.services import receipts_recheck as rechecks
from worker.services import receipts_relocation as relocation
from worker.services.act import Approval
from worker.services.labels import count, plain
from worker.services.labels import evidence as in_words
from worker.services.pause import accounts_meant
from worker.services.times import parse_since

_account = click.option("--account", metavar="A", help="Which account; needed where there are several.")
_since = click.option("--since", metavar="T", help="2026-11-01, a time with its zone, or 24h; else from the first one.")


@click.group()
def receipts() -> None:
    """Proof: receipts of what was deleted, gone, discarded or cancelled, chained by hash."""


@receipts.command(cls=Reading)
@_since
@click.option("-o", "--format", "form", type=click.Choice([*map(str, Form)]), default="jsonl", help="Default: jsonl.")
@click.option("--to", "to", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Else to stdout.")
@_account
@json_option
def export(since: str | None, form: str, to: Path | None, account: str | None) -> None:
    """Write receipts to a file or stdout, and a summary beside them; signed if ERASER_RECEIPT_KEY_FILE is set.

    \b
    eraser receipts export --since 2026-11-01 --to receipts.jsonl
    eraser receipts export -o csv > receipts.csv
    """
    app, name, since_ms = _entered("export", account, since)
    with tempfile.TemporaryDirectory(prefix="eraser-") as scratch:
        path = to or Path(scratch) / "receipts"
        made = exports.export(app, name, path, Form(form), since_ms=since_ms)
        if to is None:
            with path.open("rb") as file:
                while piece := file.read(65536):
                    click.echo(piece, nl=False)
    if for_programs():
        json_line(exports.file_json(made.summary, made.trailer) | {"fault": made.fault}, beside=to is None)
    else:
        _tell_export(made, name, to)
    sys.exit(1 if made.fault else 0)


@receipts.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path))
@click.option("--head", metavar="H", help="The hash that the last receipt must have, as the export printed it.")
@click.option("--key", "key", type=click.Path(path_type=Path), metavar="PEM", help="The public key that signed it.")
@json_option
def verify(files: tuple[Path, ...], head: str | None, key: Path | None) -> None:
    """Verify files of receipts, offline. Exit 1 names the first line that was altered, dropped, moved or added.

    Several files have to continue from each other, such as the day files of ERASER_RECEIPTS_DIR. An account's directory
    stands for the files in it; several of them, between which a chain was split, are read in the order of days.

    \b
    eraser receipts verify receipts.jsonl --key receipts.pub
    """
    verifier = Verifier.load(key) if key else None
    after: str | None = None
    paths = _each(files)
    for number, path in enumerate(paths):
        last = number == len(paths) - 1
        try:
            read = verifying.verify(partial(_opened, path), head=head if last else None, key=verifier, after=after)
        except verifying.VerificationError as fault:
            result({"file": str(path), "ok": False, "line": fault.line or None, "why": str(fault)})
            say(f"{path}: {fault}", style="bold red")
            sys.exit(1)
        after = read.trailer["head"]
        numbers = exports.file_json(read.summary, read.trailer)
        result({"file": str(path), "ok": True, **numbers, "redacted": read.redacted})
        _tell_verified(path, read, head=head if last else None, key=verifier)


@receipts.command()
@_account
@acting(yes_option)
def relocate(account: str | None, approval: Approval) -> None:
    """Let receipts leave Redis for an empty directory, if that with the earlier files is lost or given up.

    \b
    eraser receipts relocate --reason TICKET-4711
    """
    app, name, _ = _entered("relocate", account)
    archived = app.receipts(name).progress().archived
    if archived.n:
        show(relocation.plan(name, archived), approval)
        relocation.relocate(app, name, archived, approval)
    result({"account": name, "archived_n": archived.n, "relocated": archived.n > 0})
    if archived.n:
        say("The next day's receipts go to the first empty directory that a worker has.")
    else:
        say(f"Nothing of account {name} has left Redis: any empty directory will do. Nothing was done.")


@receipts.command()
@_since
@click.option("--max", "most", type=click.IntRange(min=1), metavar="N", help="Check at most N, latest first.")
@_account
@json_option
def recheck(since: str | None, most: int | None, account: str | None) -> None:
    """Check with MetaStudio that deleted and gone jobs are still gone. Exit 1 if a job came back.

    \b
    eraser receipts recheck --since 24h
    """
    app, name, since_ms = _entered("recheck", account, since)
    jobs, left_out = rechecks.jobs(app, name, since_ms=since_ms, most=most)
    found = dict.fromkeys(rechecks.RecheckResult, 0)
    with progress("checked") as advance:
        for done, looked in enumerate(rechecks.recheck(app, jobs), 1):
            found[looked.now] += 1
            advance(done, len(jobs))
            result(looked.as_json())
            if looked.now is not rechecks.RecheckResult.GONE:
                say(f"{looked.ref.name}  {looked.text}", style="bold red")
                if looked.command:
                    say(f"  {looked.command}")
    _tell_recheck(found, len(jobs), left_out)
    sys.exit(0 if found[rechecks.RecheckResult.GONE] == len(jobs) else 1)


def _entered(command: str, account: str | None, since: str | None = None) -> tuple[AppContext, str, float]:
    """The application, the account that is meant, and the moment in ms since 1970."""
    app = startup.enter(startup.load())
    (name,) = accounts_meant(app, account, every=None, command=f"receipts {command}", gone=True)
    return app, name, parse_since(since, "--since", app.queries(name).now_ms()) if since else exports.ALL


# -- in words ----------------------------------------------------------------------------------------------------------


def _tell_export(made: exports.Exported, account: str, to: Path | None) -> None:
    tell = say if to else note
    tell(f"Receipts of account {account}" + (f", written to {to}" if to else ""))
    for line in _counts(made.summary):
        tell(line)
    tell(f"  head         {made.trailer['head']}")
    signature = made.trailer["signature"]
    tell(f"  signed by    {signature['key'] if signature else 'nobody: ERASER_RECEIPT_KEY_FILE is not set'}")
    if made.fault:
        tell(f"It does not verify: {made.fault}")
    tell(f"Keep the head elsewhere. Then: eraser receipts verify {to or 'FILE'} --head {made.trailer['head']}")


def _counts(summary: Summary) -> list[str]:
    if not summary.receipts:
        return ["  nothing finished in that time: the file has no receipt"]
    ends = summary.ends
    lines = [f"  {ends['deleted']:>9,}  deleted: confirmed by MetaStudio", f"  {ends['gone']:>9,}  gone, with evidence"]
    lines += [f"  {number:>15,}  {name}: {in_words(name)}" for name, number in summary.evidence.items()]
    lines += [f"  {ends['discarded']:>9,}  discarded by an operator, perhaps not deleted"]
    lines += [f"  {ends['cancelled']:>9,}  cancelled before anything was deleted"]
    earlier = f"; {count(summary.superseded, 'earlier receipt')} of them superseded" if summary.superseded else ""
    lines += [f"  {summary.jobs:>9,}  {'job' if summary.jobs == 1 else 'jobs'}{earlier}"]
    return [*lines, f"  finished     {summary.first_at} to {summary.last_at}"]


def _tell_verified(path: Path, read: verifying.Verification, *, head: str | None, key: Verifier | None) -> None:
    trailer, summary = read.trailer, read.summary
    numbers = f", {trailer['first_n']:,} to {trailer['last_n']:,}" if summary.receipts else ""
    say(f"{path}: verified. {count(summary.receipts, 'receipt')} of account {trailer['account']}{numbers}")
    for line in _counts(summary):
        say(line)
    say(f"  head         {trailer['head']}")
    if read.redacted:
        say(f"  redacted     {count(read.redacted, 'text')} of who or why: removed later, everything else is as it was")
    if summary.receipts and trailer["first_n"] > 1:
        say(f"It starts with receipt {trailer['first_n']:,}: earlier receipts are in earlier files.")
    if key:
        say(f"  signed by    {key.fingerprint}, the key that you gave")
    elif head:
        say("It ends with the head that you gave.")
    else:
        signature = trailer["signature"]
        signed = f" It names the key {plain(str(signature['key']))[:60]}." if signature else ""
        say(
            "Not verified independently: pass --head or --key. The file is consistent within itself, but "
            f"every hash may have been recomputed, or the file cut and given a new trailer.{signed}"
        )


def _tell_recheck(found: dict[rechecks.RecheckResult, int], checked: int, left_out: int) -> None:
    if not checked:
        say("No receipt of a deleted or gone job in that time: nothing to check.")
        return
    gone, back, unknown = (found[now] for now in rechecks.RecheckResult)
    say(f"{count(checked, 'job')} checked: {gone:,} still gone, {back:,} came back, {unknown:,} could not be checked.")
    if left_out:
        say(f"{count(left_out, 'older one')} not checked, because of --max {checked}.")


def _each(paths: tuple[Path, ...]) -> list[Path]:
    """All files: those of directories in the order of their days, a copy of a day's file only once."""
    found = [path for path in paths if not path.is_dir()]
    for file in sorted((file for path in paths for file in _days(path)), key=lambda file: file.name):
        if not found or found[-1].name != file.name or not filecmp.cmp(found[-1], file, shallow=False):
            found.append(file)
    return found


def _days(path: Path) -> list[Path]:
    if path.is_dir() and not (days := paths_in(path)):
        below = next((f": eraser receipts verify {one}" for one in sorted(path.iterdir()) if paths_in(one)), "")
        raise UsageError(f"no file of a day is in {path}{below and '; each account has a directory'}{below}")
    return days if path.is_dir() else []


def _opened(path: Path) -> Iterator[bytes]:
    if path.exists() and not path.is_file():  # a pipe would be empty the second time, and look as if it had been cut
        raise UsageError(f"{path} is not a regular file, and it is read more than once: save it to a file first")
    try:
        yield from raw_lines(path)
    except OSError as error:
        raise EraserError(f"cannot read {path}: {error.strerror}") from None
