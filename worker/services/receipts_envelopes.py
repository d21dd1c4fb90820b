"""Exports for other programs: each receipt in an envelope (DSSE), or a file with a signature of OpenSSH beside it."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from worker.execution.app_context import AppContext
from worker.model.errors import UsageError
from worker.receipts.dayfiles import kept_file, raw_lines
from worker.receipts.envelopes import dsse, ssh_public, sshsig
from worker.receipts.serialization import Form, is_trailer
from worker.receipts.signature import Signer
from worker.services import receipts_export
from worker.services.receipts_export import EVERY, Exported, Wanted, check_new, signer

DSSE: Final = "dsse"
_NO_KEY: Final = "it is signed, so it needs a key: set ERASER_RECEIPT_KEY_FILE (see docs/proof.md)"


def export(app: AppContext, account: str, to: Path, wanted: Wanted = EVERY, *, overwrite: bool = False) -> Exported:
    """Write one envelope a line, each of which can be verified by itself; completely or not at all.

    Raises what `receipts_export.export` raises, and `UsageError` without a key.
    """
    key = _signer(app, "-o dsse")
    check_new(to, overwrite=overwrite)
    try:
        with tempfile.TemporaryDirectory(dir=to.parent, prefix=".eraser-") as scratch:
            plain, draft = Path(scratch) / "receipts", Path(scratch) / "envelopes"
            made = receipts_export.export(app, account, plain, Form.JSONL, wanted)
            _write(draft, (dsse(line, key) for raw in raw_lines(plain) if not is_trailer(line := json.loads(raw))))
            draft.replace(to)
    except OSError as error:
        raise UsageError(f"cannot write {to}: {error.strerror}") from None
    return made


def check_ssh(app: AppContext, file: Path, *, overwrite: bool) -> None:
    """Raise `UsageError` if the signature of a file could not be written."""
    _signer(app, "--ssh-signature")
    if (to := _beside(file)).exists() and not overwrite:
        raise UsageError(f"{to} exists already, so nothing was written. Remove it, or add --overwrite")


def ssh_sign(app: AppContext, file: Path) -> Path:
    """Write the signature of a file beside it, for `ssh-keygen -Y verify`."""
    to, key = _beside(file), _signer(app, "--ssh-signature")
    with file.open("rb") as content:
        digest = hashlib.file_digest(content, "sha512").digest()
    try:
        to.unlink(missing_ok=True)
        _write(to, [sshsig(digest, key).removesuffix("\n")])
    except OSError as error:
        raise UsageError(f"cannot write {to}: {error.strerror}") from None
    return to


def ssh_key(app: AppContext) -> str:
    """The public key, as OpenSSH writes it."""
    return ssh_public(_signer(app, "--ssh-signature"))


def _beside(file: Path) -> Path:
    return file.with_name(f"{file.name}.sig")


def _signer(app: AppContext, option: str) -> Signer:
    key = signer(app)
    if key is None:
        raise UsageError(f"{option}: {_NO_KEY}")
    return key


def _write(path: Path, lines: Iterable[str]) -> None:
    with kept_file(path) as file:
        file.writelines(f"{line}\n" for line in lines)
