"""The checks of `eraser doctor` for the HTTP server: tokens and host names. Without starlette."""

from __future__ import annotations

from collections.abc import Iterator

from worker.config.token_file import TokenFile, path_of
from worker.execution.app_context import AppContext
from worker.model.errors import UsageError

Row = tuple[str, str, str, str]  # name, verdict, found, what to do


def look(app: AppContext) -> Iterator[Row]:
    """Reads the token file; contacts no server."""
    file = TokenFile(path_of(app.settings, app.environ))
    try:
        tokens = file.current()
    except UsageError as error:
        yield "tokens of the HTTP API", "wrong", f"no call is accepted: {error}", f"correct {file.path}"
    else:
        if tokens and file.path.stat().st_mode & 0o022:
            found = f"other users may write {file.path} and create tokens"
            yield "tokens of the HTTP API", "warning", found, f"chmod go-w {file.path}"
            return
        each = "; ".join(f"{token.name} ({', '.join(sorted(token.scopes))})" for token in tokens)
        found = each or f"none in {file.path}: eraser console token NAME makes one"
        yield "tokens of the HTTP API", "ok", found, ""
    if hosts := app.settings.allowed_hosts:
        found = f"this machine's own, {', '.join(hosts)}; put TLS in front: tokens in plain http can be read"
    else:
        found = "this machine's own; for others put TLS in front, and add the host name to ERASER_ALLOWED_HOSTS"
    yield "names of the HTTP side", "ok", found, ""
