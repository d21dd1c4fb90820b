"""Finds the latest receipt of one target in the files of days, with what the proof of it needs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worker.model.target import Target
from worker.receipts import notes, trailer
from worker.receipts.chain import hash_of
from worker.receipts.commitments import why_wrong
from worker.receipts.dayfiles import DayFiles, DayFileWrong, end_of, named, raw_lines
from worker.receipts.merkle import Tree, inclusion_proof
from worker.receipts.notes import BadNote, Note
from worker.receipts.serialization import Form, read
from worker.receipts.signature import Signer
from worker.receipts.tlog_proof import TlogProof

CHECKPOINT = ".checkpoint"  # beside a day's file: its checkpoint with the cosignatures of witnesses
NUMBER = re.compile(rb'\{"v":\d+,"n":(\d+),')  # how a receipt's line begins
_HASH = re.compile(rb'"hash":"([0-9a-f]{64})"\}\n\Z')


@dataclass(frozen=True, slots=True)
class FiledReceipt:
    """A receipt that has left Redis: its line, and where it stands."""

    path: Path
    index: int
    line: dict[str, Any]

    def proof(self, signer: Signer | None) -> TlogProof | None:
        """The proof that it is in its day's tree; None: nobody signed the day, and there is no key now.

        Raises `DayFileWrong` if the file is not as its last line says.
        """
        end = end_of(self.path)
        if "root" not in end or end["day"] is None:
            return None  # a program of schema version 1 wrote it
        leaves, tree = _hashes(self.path, end["count"]), Tree()
        for one in leaves:
            tree.add(one)
        if tree.root.hex() != end["root"] or leaves[self.index].hex() != self.line["hash"]:
            raise DayFileWrong(
                f"{named(self.path)} was altered: its receipts are not those of its root. See `receipts verify`"
            )
        note = _cosigned(self.path, end) or end["checkpoint"]
        if note is None and signer:
            note = notes.signed(trailer.checkpoint_text(end), notes.origin_of(end["account"], end["day"]), signer)
        return TlogProof(self.index, tuple(inclusion_proof(leaves, self.index)), note) if note else None


def latest(files: DayFiles, target: Target, since_day: int) -> FiledReceipt | None:
    """The latest receipt of a target in the files of that day and later ones. Raises `DayFileWrong`."""
    begin = f'"project_id":"{target.project_id}","kind":"{target.kind}","id":"{target.id}",'.encode()
    for path in reversed(files.paths()):
        if path < files.path(since_day):
            return None
        found = None
        for index, raw in enumerate(raw_lines(path)):
            if begin in raw:
                found = index, raw
        if found:
            index, raw = found
            try:
                return FiledReceipt(path, index, read(Form.JSONL, raw.decode().removesuffix("\n")))
            except ValueError:
                raise DayFileWrong(
                    f"{named(path)}: line {index + 1:,} was altered. See `eraser receipts verify`"
                ) from None
    return None


def numbered(files: DayFiles, n: int) -> FiledReceipt:
    """The receipt with this number. Raises `DayFileWrong` if none of the files has it, or it was altered."""
    for path in reversed(files.paths()):
        end = end_of(path)
        if not (end["first_n"] or n + 1) <= n <= (end["last_n"] or 0):
            continue
        for index, raw in enumerate(raw_lines(path)):
            if (at := NUMBER.match(raw)) and int(at[1]) == n and (line := genuine(raw)):
                return FiledReceipt(path, index, line)
        raise DayFileWrong(f"{named(path)} should have receipt {n:,}, and has it no more. See `eraser receipts verify`")
    raise DayFileWrong(f"receipt {n:,} is in none of the files of account {files.account}")


def genuine(raw: bytes) -> dict[str, Any] | None:
    """What a line of a file says; None: it was altered."""
    try:
        line = read(Form.JSONL, raw.decode().removesuffix("\n"))
    except ValueError:
        return None
    return line if line["hash"] == hash_of(line) and not ("commitments" in line and why_wrong(line)) else None


def _hashes(path: Path, count: int) -> list[bytes]:
    """The hash of each receipt of a file, which is the data of its leaf."""
    found = []
    for number, raw in enumerate(raw_lines(path), 1):
        if number > count:
            break
        match = _HASH.search(raw, max(0, len(raw) - 100))
        if match is None:
            raise DayFileWrong(f"{named(path)}: line {number:,} was altered. See `eraser receipts verify`")
        found.append(bytes.fromhex(match[1].decode()))
    return found


def _cosigned(path: Path, end: dict[str, Any]) -> str | None:
    """The checkpoint that lies beside the file, if it is of the same tree."""
    try:
        written = path.with_suffix(CHECKPOINT).read_text(encoding="utf-8")
        return written if Note.read(written).text == trailer.checkpoint_text(end) else None
    except (OSError, UnicodeDecodeError, BadNote):
        return None
