"""`eraser receipts`: the result of each deletion, in a file that anyone can verify; and whether it is still true."""

from __future__ import annotations

import filecmp
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import click

from worker.interfaces.cli import certificates
from worker.interfaces.cli.acting import acting, show, yes_option
from worker.interfaces.cli.group import CommandGroup
from worker.interfaces.cli.printing import json_option, result, say
from worker.interfaces.cli.receipt_counts import account_option, entered, lines
from worker.interfaces.cli.receipts_export import export
from worker.interfaces.cli.receipts_recheck import back, recheck, runs
from worker.model.errors import EraserError, UsageError
from worker.receipts import verify as verifying
from worker.receipts.dayfiles import paths_in, raw_lines
from worker.receipts.signature import Verifier
from worker.services import receipts_export as exports
from worker.services import receipts_relocation as relocation
from worker.services.act import Approval
from worker.services.labels import count, plain


@click.group(cls=CommandGroup)
def receipts() -> None:
    """Proof: receipts of what was deleted, gone, discarded or cancelled, chained by hash."""


receipts.add_command(export)
receipts.add_command(recheck)
receipts.add_command(runs)
receipts.add_command(back)
receipts.add_command(certificates.show)
receipts.add_command(certificates.cosign)


@receipts.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path))
@click.option("--head", metavar="H", help="The hash that the last receipt must have, as the export printed it.")
@click.option("--key", "key", type=click.Path(path_type=Path), metavar="PEM", help="The public key that signed it.")
@click.option("--witness", "witnesses", multiple=True, metavar="NAME=PEM", help="Who must have cosigned a certificate.")
@json_option
def verify(files: tuple[Path, ...], head: str | None, key: Path | None, witnesses: tuple[str, ...]) -> None:
    """Verify files of receipts, and certificates, offline. Exit 1 names the first line that was altered, dropped,
    moved or added.

    Several files have to continue from each other, such as the day files of ERASER_RECEIPTS_DIR. An account's directory
    stands for the files in it; several of them, between which a chain was split, are read in the order of days.

    \b
    eraser receipts verify receipts.jsonl --key receipts.pub
    """
    verifier, known = Verifier.load(key) if key else None, certificates.witness_keys(witnesses)
    after: str | None = None
    paths = _each(files)
    for number, path in enumerate(paths):
        last = number == len(paths) - 1
        try:
            if certificates.verified(path, verifier, known):
                continue
            read = verifying.verify(partial(_opened, path), head=head if last else None, key=verifier, after=after)
        except (verifying.VerificationError, certificates.NotGenuine) as fault:
            line = getattr(fault, "line", 0) or None
            result({"file": str(path), "ok": False, "line": line, "why": str(fault)})
            say(f"{path}: {fault}", style="bold red")
            sys.exit(1)
        after = read.trailer["head"]
        numbers = exports.file_json(read.summary, read.trailer)
        result({"file": str(path), "ok": True, **numbers, "redacted": read.redacted})
        _tell_verified(path, read, head=head if last else None, key=verifier)


@receipts.command()
@account_option
@acting(yes_option)
def relocate(account: str | None, approval: Approval) -> None:
    """Let receipts leave Redis for an empty directory, if that with the earlier files is lost or given up.

    \b
    eraser receipts relocate --reason TICKET-4711
    """
    app, name, _ = entered("relocate", account)
    archived = app.receipts(name).progress().archived
    if archived.n:
        show(relocation.plan(name, archived), approval)
        relocation.relocate(app, name, archived, approval)
    result({"account": name, "archived_n": archived.n, "relocated": archived.n > 0})
    if archived.n:
        say("The next day's receipts go to the first empty directory that a worker has.")
    else:
        say(f"Nothing of account {name} has left Redis: any empty directory will do. Nothing was done.")


# -- in words ----------------------------------------------------------------------------------------------------------


def _tell_verified(path: Path, read: verifying.Verification, *, head: str | None, key: Verifier | None) -> None:
    trailer, summary = read.trailer, read.summary
    numbers = f", {trailer['first_n']:,} to {trailer['last_n']:,}" if summary.receipts else ""
    say(f"{path}: verified. {count(summary.receipts, 'receipt')} of account {trailer['account']}{numbers}")
    for line in lines(summary):
        say(line)
    say(f"  head         {trailer['head']}")
    if read.redacted:
        say(f"  redacted     {count(read.redacted, 'text')} of who or why: removed later, everything else is as it was")
    if of := trailer.get("selection"):
        say(f"It is a selection ({plain(of)[:80]}): whether it has every receipt of that, it cannot prove.")
    elif summary.receipts and trailer["first_n"] > 1:
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
