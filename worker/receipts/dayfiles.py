"""Receipts outside Redis: one file per UTC day and account, each like an export, each continuing where the last one
ends.

DIR/<account>/2026-11-21.jsonl        written under another name, read back, then renamed: complete, or not there
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import IO, Any

from worker.config.files import draft_of
from worker.ledger.receipts import DAY_MS, ReceiptProgress
from worker.model.errors import EraserError
from worker.receipts import trailer, verify
from worker.receipts.chain import genesis, hash_of
from worker.receipts.merkle import Tree
from worker.receipts.sealing import head_of
from worker.receipts.serialization import Form, header, is_trailer, read, written
from worker.receipts.signature import Signer

OLD_DRAFT_S = 3600.0
EPOCH = date(1970, 1, 1).toordinal()
LONGEST = 16 * 1024 * 1024  # bytes of a line: a receipt with ten thousand requesters has a tenth of it
TRAILER = 4096  # bytes: no trailer is longer
_NAME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}\.jsonl")


class DayFileWrong(EraserError):
    """A file of receipts is wrong. It is never overwritten: a person has to look at it."""


class ReceiptsElsewhere(DayFileWrong):
    """The directory lacks receipts that have left Redis: they are in another one, or its files are lost."""

    def __init__(self, folder: Path, account: str, *, there: int, archived: int) -> None:
        lacks, away = f"has none of the receipts 1 to {archived:,} that have left Redis", ""
        if there:
            lacks = f"ends with receipt {there:,}, and receipts up to {archived:,} have left Redis"
            away = f"move {folder} away and "
        super().__init__(
            f"{folder} {lacks}; the receipts in Redis stay there. Give every worker the same ERASER_RECEIPTS_DIR, "
            f"and bring the missing files into it; to continue without them: {away}type "
            f"eraser receipts relocate --account {account} --reason R"
        )


@dataclass(frozen=True, slots=True)
class DayFiles:
    """The files of one account."""

    directory: Path
    account: str

    @property
    def _folder(self) -> Path:
        return self.directory / self.account

    def path(self, day: int) -> Path:
        """The file of a day, counted since 1970."""
        return self._folder / f"{datetime.fromtimestamp(day * DAY_MS / 1000, UTC):%Y-%m-%d}.jsonl"

    @property
    def holds(self) -> Path:
        """What was on hold last: see `worker.receipts.hold_record`."""
        return self._folder / "holds.json"

    def paths(self) -> list[Path]:
        """Every file, the oldest first."""
        return paths_in(self._folder)

    def write(
        self, day: int, lines: Iterable[dict[str, Any]], progress: ReceiptProgress, signer: Signer | None
    ) -> dict[str, Any]:
        """Write the file of a day, completely or not at all, and read it back. Returns its trailer.

        A file that exists already and ends with the same head was written before a crash, or by another worker.
        Raises `DayFileWrong` and `OSError`.
        """
        path, prev = self.path(day), head_of(self.account, progress.archived)
        self._check_last(path, progress)
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with draft_of(path) as draft:
            end = write_file(draft, Form.JSONL, self.account, lines, prev=prev, signer=signer, day=path.stem)
            made = verified(draft, end["head"])
            if path.exists():
                if verified(path, end["head"]).redacted < made.redacted:
                    draft.replace(path)  # a text was redacted after it was written
            else:
                draft.rename(path)
                sync(self._folder)
        self._sweep()
        return end

    def _sweep(self) -> None:
        """Remove drafts of a process that died while it wrote them."""
        for draft in self._folder.glob(".*.jsonl.*"):
            with suppress(FileNotFoundError):  # a draft that is being written may be renamed at any moment
                if draft.stat().st_mtime < time.time() - OLD_DRAFT_S:
                    draft.unlink()

    def check(self, progress: ReceiptProgress) -> None:
        """Check that the next file would continue where the last one ends. Reads only that one's end. Raises
        `DayFileWrong`.
        """
        paths = self.paths()
        if paths and end_of(paths[-1])["prev"] == head_of(self.account, progress.archived):
            return  # it was just written, and has not left Redis yet
        self._check_end(paths[-1:], progress, end_of)

    def _check_last(self, path: Path, progress: ReceiptProgress) -> None:
        others = [other for other in self.paths() if other != path][-1:]
        if others and others[0] > path:
            raise self._another_chain(others[0])
        self._check_end(others, progress, checked)

    def _check_end(
        self, last: list[Path], progress: ReceiptProgress, read_end: Callable[[Path], dict[str, Any]]
    ) -> None:
        """A file must continue where the last one ends, so that another Redis does not mix its receipts with these.

        A day goes only to a directory with all earlier days, or to an empty one that was allowed by an operator: no
        chain is split between two.
        """
        end: dict[str, Any] = read_end(last[0]) if last else {"head": genesis(self.account), "last_n": 0}
        archived, there = progress.archived, int(end["last_n"] or 0)
        if end["head"] == head_of(self.account, archived):
            return
        if last and there >= archived.n:
            raise self._another_chain(last[0])
        if last or not progress.relocated:
            raise ReceiptsElsewhere(self._folder, self.account, there=there, archived=archived.n)

    def _another_chain(self, last: Path) -> DayFileWrong:
        return DayFileWrong(
            f"{last} belongs to another chain than the receipts in Redis, or is newer: was Redis replaced or restored? "
            f"Or does another installation use this directory (ERASER_NAMESPACE)? Move {self._folder} away to start a "
            "new chain; "
            "nothing was written and nothing has left Redis"
        )

    def lines(self, day: int = 1) -> Iterator[dict[str, Any]]:
        """Every receipt of the files from a day on, and possibly some before it, as one chain.

        Raises `DayFileWrong`, also if a file that may have had some of that day or later is missing.
        """
        after: str | None = None
        for path in self._from(day):
            end = checked(path, after=after)
            if after is None and path > self.path(day) and (end["first_n"] or 1) > 1:
                raise DayFileWrong(
                    f"receipts 1 to {end['first_n'] - 1:,} are in none of the files in {self._folder}: find the "
                    f"missing files, or leave them out: --since {path.stem}"
                )
            for line in _read(path):
                if not is_trailer(line):
                    yield line
            after = end["head"]

    def after(self, n: int) -> Iterator[dict[str, Any]]:
        """Every receipt of the files after this one. Raises `DayFileWrong`."""
        for path in self.paths():
            if (checked_end := end_of(path)["last_n"]) and checked_end > n:
                checked(path)
                yield from (line for line in _read(path) if not is_trailer(line) and line["n"] > n)

    def next_day(self) -> int:
        """The day after that of the newest file."""
        return date.fromisoformat(self.paths()[-1].stem).toordinal() - EPOCH + 1

    def last(self, progress: ReceiptProgress) -> int:
        """The number of the last receipt that has left Redis, if it is here, and what comes next would continue it;
        else 0."""
        end = end_of(paths[-1]) if (paths := self.paths()) else {}
        return progress.archived.n if end.get("head") == progress.archived.head else 0

    def _from(self, day: int) -> list[Path]:
        """The files of a day and all later ones, with that of the day before: an entry may be older than its settlement
        says. If the day has no file, the last one before it comes first, so that a gap is found."""
        paths = self.paths()
        later = [path for path in paths if path >= self.path(day - 1)]
        gap = not later or later[0] > self.path(day)
        return paths[max(0, len(paths) - len(later) - gap) :]


def named(path: Path) -> str:
    """A file of a day in an error: by its account, because whoever reads it may be elsewhere, or may not know where."""
    return f"{path.parent.name}/{path.name}"


def paths_in(folder: Path) -> list[Path]:
    """The files of days in a folder, the oldest first."""
    return sorted(path for path in folder.iterdir() if _NAME.fullmatch(path.name)) if folder.is_dir() else []


def end_of(path: Path) -> dict[str, Any]:
    """The trailer, without reading the receipts. Raises `DayFileWrong` if there is none."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - TRAILER))
        last = file.read().splitlines()[-1:]
    try:
        line = read(Form.JSONL, last[0].decode())
    except (IndexError, ValueError):
        line = {}
    return line if is_trailer(line) and line.get("hash") == hash_of(line) else checked(path)


def checked(path: Path, head: str | None = None, *, after: str | None = None) -> dict[str, Any]:
    """Verify a file and return its trailer. Raises `DayFileWrong`."""
    return verified(path, head, after=after).trailer


def verified(path: Path, head: str | None = None, *, after: str | None = None) -> verify.Verification:
    """Verify a file. Raises `DayFileWrong`."""
    try:
        found = verify.verify(partial(raw_lines, path), head=head, after=after)
        if selection := found.trailer.get("selection"):
            raise verify.VerificationError(0, f"it is a selection ({selection}), and not a whole day")
        return found
    except verify.VerificationError as fault:
        raise DayFileWrong(
            f"{named(path)}: {fault}. It is left as it is. If Redis was restored from an older copy, or the file was "
            "changed: keep the file elsewhere, and see `eraser receipts verify`"
        ) from None


def write_file(
    path: Path,
    form: Form,
    account: str,
    lines: Iterable[dict[str, Any]],
    *,
    prev: str,
    signer: Signer | None,
    day: str | None = None,
    selection: str | None = None,
) -> dict[str, Any]:
    """Write linked receipts and a trailer, which is returned. They are synced to disk. day: if it has all of its
    receipts. selection: what single receipts of the chain are a selection of."""
    chain: dict[str, Any] = {"first_n": None, "last_n": None, "prev": prev, "head": prev}
    tree = Tree()
    with kept_file(path) as file:
        if names := header(form):
            file.write(f"{names}\n")
        for line in lines:
            if not tree.size:
                chain |= {"first_n": line["n"], "prev": line["prev"]}
            chain |= {"last_n": line["n"], "head": line["hash"]}
            tree.add(bytes.fromhex(line["hash"]))
            file.write(f"{written(form, line)}\n")
        end = trailer.made(
            account, signer=signer, root=tree.root, day=day, selection=selection, count=tree.size, **chain
        )
        file.write(f"{written(form, end)}\n")
    return end


@contextmanager
def kept_file(path: Path, mode: str = "x") -> Iterator[IO[str]]:
    """A file that only its owner reads; at the end it is on disk."""
    with path.open(mode, encoding="utf-8", newline="") as file:
        os.fchmod(file.fileno(), 0o600)
        yield file
        file.flush()
        os.fsync(file.fileno())


def sync(folder: Path) -> None:
    """Sync the folder to disk."""
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def raw_lines(path: Path) -> Iterator[bytes]:
    """The lines of a file unchanged; a line longer than any of ours in pieces."""
    with path.open("rb") as file:
        yield from iter(lambda: file.readline(LONGEST), b"")


def _read(path: Path) -> Iterator[dict[str, Any]]:
    return (json.loads(raw) for raw in raw_lines(path))
