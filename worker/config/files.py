"""Files that people name and write: their paths, their text, and the quotes that an env file leaves around a value."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from worker.model.errors import EraserError, SettingsError

UTF8_MARK = b"\xef\xbb\xbf"  # some editors start a file with it
UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
QUOTES = "\"'`“”„‘’«»"


class NotText(ValueError):
    """The file is not UTF-8; the message says what it is."""


def read_text(path: Path) -> str:
    """The text of a file in UTF-8, with or without a byte order mark. Raises `OSError` or `NotText`."""
    raw = path.read_bytes()
    if raw.startswith(UTF16_MARKS):
        raise NotText("is UTF-16: save it as UTF-8")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise NotText("is not UTF-8 text") from None


def read_file(path: Path, refuse: Callable[[str], EraserError]) -> str:
    """The same for a file that people wrote: an error says what is wrong with it, in the form that `refuse` makes."""
    try:
        return read_text(path)
    except OSError as error:
        why = f"cannot read {path}: {error.strerror}"
    except NotText as error:
        why = f"{path} {error}"
    raise refuse(why)


def path_named(text: str, setting: str) -> Path:
    """The path that a setting names; `~` is this user's home. Raises `SettingsError`."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise SettingsError(setting, f"{text}: there is no such home directory; write the whole path") from None


@contextmanager
def draft_of(path: Path) -> Iterator[Path]:
    """Where a new file is written before it takes the place of the old one; at the end no draft is left."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        yield draft
    finally:
        draft.unlink(missing_ok=True)


def is_quoted(value: str) -> bool:
    """Whether quotes are around it. Only a shell removes them; Docker and systemd do not when they read env files."""
    return len(value) > 1 and value[0] in QUOTES and value[-1] in QUOTES


def home(environ: Mapping[str, str]) -> Path:
    """This user's home; a path that does not exist if the system knows none."""
    try:
        return Path(environ.get("HOME") or Path.home())
    except RuntimeError:  # no HOME, and a user without a line in /etc/passwd: common in containers
        return Path("/nonexistent")
