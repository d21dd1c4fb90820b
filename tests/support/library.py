"""Calls of the asset library and of voice jobs, by plain HTTP, for the simulator's tests."""

from __future__ import annotations

import json
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from tests.support.caller import Caller, Response


@dataclass
class LibraryCaller:
    """The library as a caller's project has it."""

    caller: Caller

    def show(self, asset_id: str) -> Response:
        return self.caller.send("GET", f"{self.caller.assets}/{asset_id}")

    def state(self, asset_id: str) -> str:
        return self.show(asset_id).json["asset_state"]

    def delete(self, asset_id: str, mode: str | None = None) -> Response:
        return self.caller.send("DELETE", f"{self.caller.assets}/{asset_id}{'' if mode is None else f'?mode={mode}'}")

    def update(self, asset_id: str, **body: object) -> Response:
        return self.caller.send("PUT", f"{self.caller.assets}/{asset_id}", json.dumps(body).encode())

    def restore(self, asset_id: str) -> Response:
        return self.caller.send("POST", f"{self.caller.assets}/{asset_id}/restore")

    def summarize(self, *asset_ids: str) -> Response:
        body = json.dumps({"asset_ids": asset_ids}).encode()
        return self.caller.send("POST", f"{self.caller.assets}/summarys", body)

    def listing(self, *query: tuple[str, object]) -> Response:
        return self.caller.send("GET", f"{self.caller.assets}?{urlencode(sorted(query), quote_via=quote)}")

    def list(self, *query: tuple[str, object]) -> list[str]:
        response = self.listing(*query)
        assert response.status == 200, response.body
        return [row["asset_id"] for row in response.json["assets"]]

    def show_voice(self, job_id: str) -> Response:
        return self.caller.send("GET", f"{self.caller.voice_jobs}/{job_id}")

    def delete_voice(self, job_id: str) -> Response:
        return self.caller.send("DELETE", f"{self.caller.voice_jobs}/{job_id}")

    def list_voices(self, query: str = "") -> list[str]:
        response = self.caller.send("GET", f"{self.caller.voice_jobs}?{query}")
        assert response.status == 200, response.body
        return [row["job_id"] for row in response.json["jobs"]]
