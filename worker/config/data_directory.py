"""The data directory of this user's `eraser up`, and whether its Redis is running: for every process that may use
it.
"""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from worker.config.files import home
from worker.model.errors import UsageError


def default_directory(environ: Mapping[str, str] = os.environ) -> Path:
    """Where this user's embedded Redis keeps its data."""
    data = Path(environ.get("XDG_DATA_HOME", ""))
    if not data.is_absolute():  # the XDG specification: a relative path is to be ignored
        data = home(environ) / ".local" / "share"
    return data / "avatar-eraser"


def data_directory(simulated: bool | None, environ: Mapping[str, str] = os.environ) -> Path:
    """Where this user's `eraser up` keeps its data: separately against a simulator, because its jobs are not
    MetaStudio's.

    simulated: None if the settings name no address: then it is the one that runs. Raises `UsageError` if two run.
    """
    ours = default_directory(environ)
    apart = ours.with_name(f"{ours.name}-simulator")
    if simulated is None:
        simulated = find_running(apart) is not None
        if simulated and find_running(ours):
            raise UsageError(
                "this user runs two `eraser up`, one of them against a simulator: set ERASER_REGION or "
                "ERASER_ENDPOINT for the one you mean, or ERASER_REDIS_URL"
            )
    return apart if simulated else ours


def find_running(directory: Path | None = None) -> str | None:
    """The URL of the embedded Redis that runs on `directory` (default: this user's), or None."""
    where = socket_of(directory or default_directory())
    return url_of(where) if ping(where) == "ready" else None


def why_silent(directory: Path) -> str | None:
    """What to do about an `eraser up` that runs on a directory while its Redis does not answer; None: none runs."""
    if not _is_locked(directory / "up.lock"):
        return None
    its = f"the Redis of `eraser up` on {directory}"
    if ping(socket_of(directory)) == "loading":
        return f"{its} is loading its data: try again in a moment"
    end = "the next is started in seconds"
    if _is_locked(directory / "redis.alive") and (server := text_of(directory / "redis.pid")):
        end = f"end it by kill -9 {server}, and the next is started"
    return f"{its} does not answer: {end} (log: {directory / 'redis.log'})"


def _is_locked(path: Path) -> bool:
    """Whether a living process holds this lock. A pid would not tell: it may be somebody else's by now."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def socket_of(directory: Path) -> Path:
    directory = directory.expanduser().absolute()
    elsewhere = text_of(directory / "redis.at")
    return Path(elsewhere) if elsewhere else directory / "redis.sock"


def url_of(where: Path) -> str:
    return f"unix://{quote(str(where))}"


def ping(where: Path) -> Literal["ready", "loading", "silent"]:
    """Ping the server behind a socket; a socket of another user does not count."""
    try:
        if where.stat().st_uid != os.geteuid() or where.parent.stat().st_uid != os.geteuid():
            return "silent"
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(1.0)
            connection.connect(str(where))
            connection.sendall(b"PING\r\n")
            response = connection.recv(64)
    except OSError:
        return "silent"
    if response.startswith((b"+PONG", b"-BUSY")):
        return "ready"
    return "loading" if response.startswith(b"-LOADING") else "silent"


def text_of(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip() or None
    except OSError:
        return None
