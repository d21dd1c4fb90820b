"""`eraser receipts show` and `cosign`: the certificate of one deletion, and a witness of a day."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import click

from worker.interfaces.cli import startup
from worker.interfaces.cli.output import Reading
from worker.interfaces.cli.printing import for_programs, json_option, note, result, say
from worker.model.errors import EraserError, UsageError
from worker.receipts.certificate import NotGenuine, Verified
from worker.receipts.signature import Signer, Verifier
from worker.services import certificate, certificate_forms, request, witness
from worker.services.certificate_forms import CertificateForm
from worker.services.certificate_words import time, words
from worker.services.labels import count
from worker.services.times import absolute


@click.command(cls=Reading)
@click.argument("target", metavar="KIND:ID|JOB_ID")
@click.option("--project", metavar="P", help="Project id; needed unless exactly one is configured.")
@click.option("-o", "--format", "form", type=click.Choice([*map(str, CertificateForm)]), help="Default: txt.")
@click.option("--to", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="A new file; else stdout.")
@json_option
def show(target: str, project: str | None, form: str | None, to: Path | None) -> None:
    """Print the certificate of a deletion: what was erased, by whose word, what could not be checked, and the proof.

    It is of the latest receipt, and has nothing of any other. Anyone verifies it with `eraser receipts verify`.

    \b
    eraser receipts show 0f3a61c2 -o html --to certificate.html
    """
    app = startup.load()
    project = request.project_of(app, project)
    found = certificate.find(startup.enter(app), project, target)
    chosen = CertificateForm(form or (to and _form_of(to)) or (CertificateForm.JSON if for_programs() else "txt"))
    content = certificate_forms.form_as(chosen, found)
    if to is None:
        click.echo(content, nl=False)
        return
    _write_new(to, content)
    result({"file": str(to)})
    key = " --key receipts.pub" if app.settings.receipt_key else ""  # the public half of the key that signed it
    note(f"Written to {to}. To verify it: eraser receipts verify {to}{key}")


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--key", "key", required=True, type=click.Path(path_type=Path), metavar="PEM", help="Your private key.")
@click.option("--name", required=True, metavar="NAME", help="Your name, such as witness.example/w1.")
@click.option("--log-key", required=True, type=click.Path(path_type=Path), metavar="PEM", help="Who signed the day.")
@click.option(
    "--state", required=True, type=click.Path(path_type=Path), metavar="FILE", help="What you cosigned so far."
)
@json_option
def cosign(file: Path, key: Path, name: str, log_key: Path, state: Path) -> None:
    """Cosign the checkpoint of a day, as its witness. For somebody else than the one who deletes; works offline.

    FILE is the checkpoint, or the day's file, which is verified then, and next to which the checkpoint is written. A
    second checkpoint of a day that says something else is refused: that is what a witness is for.

    \b
    eraser receipts cosign 2026-11-21.checkpoint --key witness.key --name witness.example/w1 \\
        --log-key receipts.pub --state cosigned.jsonl
    """
    done = witness.cosign(file, name=name, signer=Signer.load(key), log=Verifier.load(log_key), state=state)
    result({"file": str(done.path), "origin": done.origin, "size": done.size, "witness": name, "key": done.vkey})
    say(f"{done.origin}: {count(done.size, 'receipt')}, cosigned in {done.path}")
    say(f"Your public key for others: {done.vkey}")


def verified(path: Path, key: Verifier | None, witnesses: Mapping[str, Verifier]) -> Verified | None:
    """The certificate in a file, verified; None: it is no certificate. Raises `NotGenuine`."""
    try:
        if not path.is_file() or path.stat().st_size > certificate_forms.LONGEST:
            return None
        written = path.read_bytes()
    except OSError as error:
        raise EraserError(f"cannot read {path}: {error.strerror}") from None
    if (found := certificate_forms.verified(written, key=key, witnesses=witnesses)) is None:
        return None
    inner, good = found
    result(
        {"file": str(path), "ok": True, "certificate": good.receipt, "by_key": good.by_key, "origin": good.origin}
        | {"size": good.size, "witnesses": good.witnesses}
    )
    say(f"{path}: verified. {words(good, inner).summary}")
    _tell(good, key)
    return good


def witness_keys(given: tuple[str, ...]) -> dict[str, Verifier]:
    """`NAME=PEM` for each."""
    found = {}
    for one in given:
        name, equals, path = one.partition("=")
        if not equals or not name or not path:
            raise UsageError(
                f"--witness: expected NAME=PEM, such as witness.example/w1=witness.pub; found {one[:80]!r}"
            )
        found[name] = Verifier.load(Path(path))
    return found


def _tell(good: Verified, key: Verifier | None) -> None:
    line = good.receipt
    say(f"  receipt      {line['n']:,} of account {line['account']}, {time(line['finished_at'])}")
    say(f"  hash         {line['hash']}")
    if good.origin:
        say(f"  proof        one of {count(good.size or 0, 'receipt')} of {good.origin}")
    if key:
        say(f"  signed by    {key.fingerprint}, the key that you gave")
    else:
        say("Not verified independently: pass --key. It is consistent within itself, but all of it may be made up.")
    for name, at_s in good.witnesses.items():
        say(f"  cosigned by  {name}, {absolute(at_s * 1000)}")


def _form_of(path: Path) -> str | None:
    """The form that a file's name asks for."""
    suffix = path.suffix.lower().removeprefix(".").replace("htm", "html").replace("htmll", "html")
    return suffix if suffix in tuple(CertificateForm) else None


def _write_new(path: Path, content: str) -> None:
    try:
        number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(number, "w", encoding="utf-8", newline="") as file:
            file.write(content)
    except FileExistsError:
        raise UsageError(f"{path} exists already, and is left as it is: choose another name, or remove it") from None
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from None


__all__ = ["NotGenuine", "cosign", "show", "verified", "witness_keys"]
