"""Serving the application with uvicorn, in this process."""

from __future__ import annotations

import uvicorn

from worker.operations.http.app import create_app
from worker.runtime import Runtime


def serve(running: Runtime, *, host: str, port: int) -> None:
    """Serve until SIGTERM or Ctrl-C; what is being answered is finished first."""
    config = uvicorn.Config(
        create_app(running, bind=host),
        host=host,
        port=port,
        log_config=None,  # ours
        access_log=False,  # ours too: `http.answered`
        server_header=False,
        proxy_headers=False,  # nothing here rests on the caller's address
        timeout_keep_alive=65,  # longer than a proxy's, so that it is the proxy that closes
        timeout_graceful_shutdown=20,
        ws="none",
    )
    uvicorn.Server(config).run()
