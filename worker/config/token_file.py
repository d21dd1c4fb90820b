"""The token file: read again whenever it changes, so that tokens are added and revoked without a restart."""

from __future__ import annotations

import fcntl
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

from worker.config.api_tokens import ApiToken, read, rotated
from worker.config.data_directory import data_directory
from worker.config.files import draft_of, read_file
from worker.config.settings import Settings
from worker.config.tables import nearest
from worker.config.watched_file import WatchedFile
from worker.model.errors import UsageError

NAME = "api-tokens.toml"
_ROTATED = re.compile(r"\s*(hash|made|previous|previous_until)\s*=")  # the keys that a rotation writes


def path_of(settings: Settings, environ: Mapping[str, str]) -> Path:
    """The path of this process's token file: as set, or beside the data of `eraser up`."""
    return settings.api_tokens or data_directory(settings.simulated, environ) / NAME


class TokenFile:
    """The current tokens of the file. Thread-safe.

    An invalid file gives no tokens at all rather than the old ones, because one may just have been revoked.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: WatchedFile[tuple[ApiToken, ...]] = WatchedFile(
            path, lambda text: read(text, str(path)), UsageError, absent=()
        )

    def current(self) -> tuple[ApiToken, ...]:
        """Every token; none without a file. Raises `UsageError` if the file is invalid."""
        return self._file.current()

    def named(self, name: str) -> ApiToken:
        """The token of that name. Raises `UsageError`."""
        tokens = {token.name: token for token in self.current()}
        if name not in tokens:
            known = f"; there are: {', '.join(tokens)}" if tokens else "; there is none"
            raise UsageError(f"there is no token {name[:40]!r} in {self.path}{nearest(name, tokens)}{known}")
        return tokens[name]

    def add(self, token: ApiToken, lines: str) -> None:
        """Add a token's lines. Raises `UsageError` if the name is taken."""
        with self._locked():
            if any(known.name == token.name for known in self.current()):
                raise UsageError(
                    f"there is a token {token.name} already: eraser console tokens rotate {token.name} gives it a new "
                    "secret; or take another name"
                )
            before = read_file(self.path, UsageError) if self.path.exists() else ""
            self._write(f"{before.rstrip()}\n\n{lines}".lstrip())

    def rotate(self, name: str, now: datetime, *, overlap: timedelta) -> tuple[ApiToken, str]:
        """Give a token a new secret. Returns it as it is now, and the secret."""
        with self._locked():
            lines, secret = rotated(self.named(name), now, overlap=overlap)
            self._replace(name, lambda section: [section[0], *lines, *_without(section[1:])])
            return self.named(name), secret

    def revoke(self, name: str) -> ApiToken:
        """Remove a token's lines: it is refused from now on. Returns it as it was."""
        with self._locked():
            token = self.named(name)
            self._replace(name, lambda _: [])
            return token

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One change at a time, of all processes: each is made to what the one before it left."""
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = self.path.with_name(f".{self.path.name}.lock")
            lock.touch(mode=0o600)
            file = lock.open("r+b")
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError as error:
            raise self._unwritable(error) from None
        with file:
            yield

    def _replace(self, name: str, change: Callable[[list[str]], list[str]]) -> None:
        """Change one token's lines; all others, and what people wrote between them, stay."""
        lines = read_file(self.path, UsageError).splitlines()
        start, end = _section(lines, name)
        others = [token for token in self.current() if token.name != name]
        try:
            text = "\n".join([*lines[:start], *change(lines[start:end]), *lines[end:], ""])
            same = [token for token in read(text, str(self.path)) if token.name != name] == others
        except (IndexError, UsageError):
            same = False
        if not same or start == end:  # somebody wrote it in a form that our own lines do not have
            raise UsageError(f"cannot find the lines of [{name}] in {self.path} with certainty: change them by hand")
        self._write(text.lstrip("\n"))

    def _write(self, text: str) -> None:
        """Write a new file and replace the old one, so that a reader never sees half of it."""
        try:
            mode = self.path.stat().st_mode & 0o777 if self.path.exists() else 0o600
            with draft_of(self.path) as beside:
                beside.touch(mode=0o600)
                beside.write_text(text, encoding="utf-8")
                beside.chmod(mode)
                beside.replace(self.path)
        except OSError as error:
            raise self._unwritable(error) from None
        if read_file(self.path, UsageError) != text:  # an editor, which knows of no lock
            raise UsageError(f"another program changed {self.path} at the same time: look at it, and try again")

    def _unwritable(self, error: OSError) -> UsageError:
        return UsageError(f"cannot write {self.path}: {error.strerror}; set ERASER_API_TOKENS_FILE")


def _section(lines: Sequence[str], name: str) -> tuple[int, int]:
    """Where a token's lines begin and end; what stands above the next header belongs to that one. Empty: none."""
    header, any_header = re.compile(rf"""\s*\[\s*["']?{re.escape(name)}["']?\s*\]"""), re.compile(r"\s*\[")
    start = next((n for n, line in enumerate(lines) if header.match(line)), len(lines))
    end = next((n for n in range(start + 1, len(lines)) if any_header.match(lines[n])), len(lines))
    while end > start + 1 and (not lines[end - 1].strip() or lines[end - 1].lstrip().startswith("#")):
        end -= 1
    return start, end


def _without(section: Sequence[str]) -> list[str]:
    return [line for line in section if not _ROTATED.match(line)]
