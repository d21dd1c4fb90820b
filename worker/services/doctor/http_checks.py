"""The checks of `eraser doctor` for the HTTP server: tokens and host names. Without starlette."""

from __future__ import annotations

from collections.abc import Iterator

from worker.config.token_file import TokenFile, path_of
from worker.execution.app_context import AppContext
from worker.model.errors import UsageError
from worker.services.doctor.check import Check, ok, warning, wrong


def look(app: AppContext) -> Iterator[Check]:
    """Reads the token file; contacts no server."""
    name, file = "tokens of the HTTP API", TokenFile(path_of(app.settings, app.environ))
    try:
        tokens = file.current()
    except UsageError as error:
        yield wrong(name, f"no call is accepted: {error}", f"correct {file.path}")
    else:
        if tokens and file.path.stat().st_mode & 0o022:
            yield warning(name, f"other users may write {file.path} and create tokens", f"chmod go-w {file.path}")
            return
        each = "; ".join(f"{token.name} ({', '.join(sorted(token.scopes))})" for token in tokens)
        yield ok(name, each or f"none in {file.path}: eraser console tokens create NAME makes one")
    if hosts := app.settings.allowed_hosts:
        found = f"this machine's own, {', '.join(hosts)}; put TLS in front: tokens in plain http can be read"
    else:
        found = "this machine's own; for others put TLS in front, and add the host name to ERASER_ALLOWED_HOSTS"
    yield ok("names of the HTTP side", found)
