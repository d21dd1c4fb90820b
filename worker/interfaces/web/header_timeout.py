"""Header timeout: uvicorn waits forever for the head of a request, and a file descriptor is open meanwhile."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_S = 30.0  # for the head of a request, from its first byte; also for the first request of a connection


class HeaderTimeout(H11Protocol):
    """uvicorn's protocol, which closes a connection whose next head does not come in time."""

    _late: asyncio.TimerHandle | None = None

    def _unsupported_upgrade_warning(self) -> None:
        """Java's default client offers HTTP/2 each time: no reason for a WebSocket warning in the log."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self._late = self.loop.call_later(HEAD_S, transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        self._came()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._came()
        elif self._late is None:  # between two requests the keep-alive timeout applies
            self._late = self.loop.call_later(HEAD_S, self.transport.close)

    def _came(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None
