"""Listening: what is said where it cannot be done."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from worker.interfaces.web.serve import listen
from worker.model.errors import UsageError


def test_a_host_that_does_not_resolve_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def bind(*_: Any) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket.socket, "bind", bind)
    with pytest.raises(UsageError) as refused:
        listen("nowhere", 8000)
    assert str(refused.value).startswith("cannot listen on nowhere:8000 (Name or service not known): choose another")
