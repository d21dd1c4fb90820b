"""Controls a simulator in another process, over HTTP."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from worker.model.errors import Unreachable, UsageError
from worker.simulator.controls import Controls

TIMEOUT_S = 30.0


class SimulatorControl(Controls):
    """`url` is the simulator's base, e.g. http://127.0.0.1:18080; of https, `ca_file` is what its --tls names."""

    def __init__(self, url: str, ca_file: Path | None = None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or parts.hostname is None or parts.port is None:
            raise UsageError(f"simulator url {url!r}: use http://127.0.0.1:PORT, or https")
        self.url = url.rstrip("/")
        self._address = (parts.hostname, parts.port)
        self._tls = ssl.create_default_context(cafile=ca_file) if parts.scheme == "https" else None

    def _run(self, name: str, arguments: Mapping[str, Any]) -> Any:
        if self._tls is None:
            connection = http.client.HTTPConnection(*self._address, timeout=TIMEOUT_S)
        else:
            connection = http.client.HTTPSConnection(*self._address, timeout=TIMEOUT_S, context=self._tls)
        try:
            connection.request("POST", f"/_control/{name}", json.dumps(arguments), {"Connection": "close"})
            content = json.loads(connection.getresponse().read())
        except (OSError, http.client.HTTPException, ValueError) as problem:
            raise Unreachable(f"no simulator answers at {self.url}: start one with `eraser simulator`") from problem
        finally:
            connection.close()
        if "error" in content:
            raise UsageError(str(content["error"]))
        return content["result"]
