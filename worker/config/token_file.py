"""The token file: read again whenever it changes, so that tokens are added and revoked without a restart."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from worker.config.api_tokens import ApiToken, read
from worker.config.data_directory import data_directory
from worker.config.files import read_file
from worker.config.settings import Settings
from worker.config.watched_file import WatchedFile
from worker.model.errors import UsageError

NAME = "api-tokens.toml"


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

    def add(self, token: ApiToken, lines: str) -> None:
        """Add a token's lines. Raises `UsageError` if the name is taken."""
        if any(known.name == token.name for known in self.current()):
            raise UsageError(
                f"there is a token {token.name} already: remove its lines from {self.path}, or take another name"
            )
        self._append(lines)

    def _append(self, lines: str) -> None:
        """Write a new file and replace the old one, so that a reader never sees half of it."""
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            before = read_file(self.path, UsageError) if self.path.exists() else ""
            mode = self.path.stat().st_mode & 0o777 if before else 0o600
            beside = self.path.with_name(f"{self.path.name}.{os.getpid()}")
            beside.touch(mode=0o600)
            beside.write_text(f"{before.rstrip()}\n\n{lines}".lstrip(), encoding="utf-8")
            beside.chmod(mode)
            beside.replace(self.path)
        except OSError as error:
            raise UsageError(f"cannot write {self.path}: {error.strerror}; set ERASER_API_TOKENS_FILE") from None
