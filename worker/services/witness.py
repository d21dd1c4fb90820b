"""A witness of days: cosigns each checkpoint, and no other one of the same day. Offline; for somebody else's machine.

It keeps a file with one line of JSON for each checkpoint that it cosigned, so that it notices a second one.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from worker.config.files import draft_of
from worker.model.errors import EraserError, RefusedBySafetyRule, UsageError
from worker.receipts import notes
from worker.receipts import verify as verifying
from worker.receipts.dayfiles import raw_lines
from worker.receipts.lookup import CHECKPOINT
from worker.receipts.notes import COSIGNATURE, BadNote, Note
from worker.receipts.signature import Signer, Verifier


@dataclass(frozen=True, slots=True)
class Cosigned:
    """A checkpoint with the witness's cosignature. `vkey`: the public key, as other programs for notes read it."""

    path: Path
    origin: str
    size: int
    vkey: str


def cosign(file: Path, *, name: str, signer: Signer, log: Verifier, state: Path) -> Cosigned:
    """Cosign the checkpoint in a file, or that of a day's file, which is verified then.

    Raises `UsageError`, `EraserError` for what does not verify, and `RefusedBySafetyRule` for another checkpoint of a
    day that was cosigned before.
    """
    if not notes.good_name(name):
        raise UsageError(f"--name: a name has neither blanks nor +, such as witness.example/w1; found {name[:80]!r}")
    if signer.public == log.public:
        raise UsageError("--key: a witness is somebody else: this is the key that signs the receipts")
    path, written = _checkpoint(file, log)
    try:
        note = Note.read(written)
        origin, size, _ = notes.checkpoint(note.text)
        note.signed_by(origin, log)
    except BadNote as error:
        raise EraserError(f"{file}: {error}. Nothing was cosigned") from None
    with _remembering(state, origin, note.text):
        if not _has(note, name, signer):
            written = notes.cosigned(written, name, signer, int(time.time()))
        _replace(path, written)
    return Cosigned(path, origin, size, notes.vkey(name, COSIGNATURE, signer.public))


def _checkpoint(file: Path, log: Verifier) -> tuple[Path, str]:
    """Where the checkpoint stands, or is to stand, and its text."""
    try:
        if file.suffix != ".jsonl":
            return file, file.read_text(encoding="utf-8")
        trailer = verifying.verify(partial(raw_lines, file), key=log).trailer
        beside = file.with_suffix(CHECKPOINT)
        with suppress(FileNotFoundError):
            written = beside.read_text(encoding="utf-8")
            if written.startswith(str(trailer.get("checkpoint")).partition("\n\n")[0]):
                return beside, written
            raise EraserError(f"{beside} is not of {file}: find out why, and move it away. Nothing was cosigned")
    except verifying.VerificationError as fault:
        raise EraserError(f"{file}: {fault}. Nothing was cosigned") from None
    except UnicodeDecodeError:
        raise EraserError(f"{file} is no checkpoint. Nothing was cosigned") from None
    except OSError as error:
        raise UsageError(f"cannot read {file}: {error.strerror}") from None
    if trailer.get("checkpoint") is None:
        raise EraserError(f"{file} has no checkpoint: its day was archived without ERASER_RECEIPT_KEY_FILE")
    return beside, trailer["checkpoint"]


def _has(note: Note, name: str, signer: Signer) -> bool:
    """Whether it has this witness's cosignature already: a second one would make it a bad note."""
    id_ = notes.key_id(name, COSIGNATURE, signer.public)
    return any((other, of) == (name, id_) for other, of, _ in note.signatures)


@contextmanager
def _remembering(state: Path, origin: str, text: str) -> Iterator[None]:
    """Remember the checkpoint before it is cosigned: whatever happens then, no other one of its day can be."""
    try:
        with state.open("a+", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            known = {line["origin"]: line["checkpoint"] for line in map(json.loads, file)}
            if known.get(origin, text) != text:
                raise RefusedBySafetyRule(
                    "one checkpoint a day",
                    f"another checkpoint of {origin} was cosigned before, see {state}: whoever signed this one shows "
                    "different receipts to different people. Nothing was cosigned",
                )
            if origin not in known:
                file.write(json.dumps({"origin": origin, "checkpoint": text}) + "\n")
                file.flush()
                os.fsync(file.fileno())
            yield
    except (ValueError, KeyError, TypeError):
        raise EraserError(f"--state: {state} is not a file of this command. Nothing was cosigned") from None
    except OSError as error:
        raise UsageError(f"--state: cannot write {state}: {error.strerror}") from None


def _replace(path: Path, written: str) -> None:
    try:
        with draft_of(path) as draft:
            draft.write_text(written, encoding="utf-8")
            draft.replace(path)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from None
