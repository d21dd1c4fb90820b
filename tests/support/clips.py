"""A made-up second kind: clips of a media library, with another path, other states and other paces than jobs have.

Its adapter, and the few lines of a MetaStudio that has clips. Nothing else knows of them.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from worker.ledger.types import KindPace
from worker.metastudio.targets.adapter import Adapter, Family
from worker.metastudio.targets.registry import ADAPTERS, register
from worker.model.target import KINDS

KIND = "clip"
CLIP = Adapter(
    kind=KIND,
    word="clip",
    path="media-library/clips",
    rows="items",
    id_field="clip_id",
    state_field="clip_state",
    deletable=frozenset({"READY", "BROKEN"}),
    deleting=Family("clip_delete", {"cn-north-4": 5.0, "cn-east-3": 2.0}),
    reading=Family("clip_read", {"cn-north-4": 10.0, "cn-east-3": 4.0}),
    mode="mode=purge",
    meanings={(409, "LIB.0409"): "ask", (410, "LIB.0410"): "deleted"},
)
PACE = KindPace(KIND, "clip_delete", 1.0, "clip_read", 1.0)
_PATH = re.compile(r"/v1/[^/]+/(media-library/clips|digital-human-training-manage/user/jobs)(?:/([^/]+))?")


@contextmanager
def known() -> Iterator[None]:
    """For so long this process knows clips."""
    register(CLIP)
    try:
        yield
    finally:
        del ADAPTERS[KIND]
        KINDS.remove(KIND)


@dataclass
class Library:
    """A MetaStudio with clips and jobs: id -> state, "" for one that any DELETE deletes. `faults`: what a call is
    answered instead, by its first words, such as `delete clip` or `list`, as long as it is there.
    """

    clips: dict[str, str] = field(default_factory=dict)
    jobs: dict[str, str] = field(default_factory=dict)
    faults: dict[str, tuple[int, str]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    at: dict[str, list[float]] = field(default_factory=dict)  # when DELETEs of a kind came
    latency_s: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _busy: Counter[str] = field(default_factory=Counter)
    most: int = 0  # calls of one target under way at once

    def __enter__(self) -> Library:
        library = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                library.answer(self)

            do_DELETE = do_GET

            def log_message(self, *_: Any) -> None:
                """Nothing is printed."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def stats(self) -> dict[str, int]:
        return {"max_overlap": self.most}

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        url = urlsplit(request.path)
        found = _PATH.fullmatch(url.path)
        assert found is not None, url.path
        kind, name = "clip" if "clips" in found[1] else "job", found[2]
        call = f"{request.command.lower()} {kind} {name}" if name else f"list {kind}{_filters(url.query, kind)}"
        with self._lock:
            self.calls.append(call)
            self._busy[call] += 1
            self.most = max(self.most, self._busy[call] if name else 0)
            if name:
                self.at.setdefault(kind, []).append(time.monotonic())
        if self.latency_s:
            time.sleep(self.latency_s)
        status, body = self._answer(call, kind, name, url.query)
        with self._lock:
            self._busy[call] -= 1
        raw = json.dumps(body).encode() if body is not None else b""
        request.send_response(status)
        request.send_header("Content-Length", str(len(raw)))
        request.send_header("X-Request-Id", f"r-{len(self.calls)}")
        request.end_headers()
        request.wfile.write(raw)

    def _answer(self, call: str, kind: str, name: str | None, query: str) -> tuple[int, Any]:
        for words, (status, code) in self.faults.items():
            if call.startswith(words):
                return status, {"error_code": code, "error_msg": "as the test says"}
        there = self.clips if kind == "clip" else self.jobs
        adapter = ADAPTERS[kind]
        if name is None:
            ids = parse_qs(query).get(adapter.id_field)
            rows = [
                {adapter.id_field: one, adapter.state_field: state or "READY"}
                for one, state in sorted(there.items())
                if not ids or one in ids
            ]
            return 200, {"count": len(rows), adapter.rows: rows}
        if kind == "clip" and query != "mode=purge":
            return 400, {"error_code": "LIB.0400", "error_msg": "it would only go to the bin"}
        if name not in there:
            return 400, {"error_code": "MSS.10001001", "error_msg": "not found"}
        if there[name] and not adapter.is_deletable(there[name]):
            return 409, {"error_code": "LIB.0409", "error_msg": "in use"}
        del there[name]
        return 200, None


def _filters(query: str, kind: str) -> str:
    ids = parse_qs(query).get(ADAPTERS[kind].id_field)
    return f" {ids[0]}" if ids else ""
