"""Controls a simulator in another process, over HTTP."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from worker.model.errors import Unreachable, UsageError
from worker.simulator.controls import Controls

TIMEOUT_S = 30.0


class SimulatorControl(Controls):
    """`url` is the simulator's base, e.g. http://127.0.0.1:18080."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme != "http" or parts.hostname is None:
            raise UsageError(f"simulator url {url!r}: use http://127.0.0.1:PORT")
        self.url = url.rstrip("/")
        self._address = (parts.hostname, parts.port or 80)

    def _run(self, name: str, arguments: Mapping[str, Any]) -> Any:
        connection = http.client.HTTPConnection(*self._address, timeout=TIMEOUT_S)
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
