"""The HTTP side as its callers see it: an application on a real Redis, and tokens for each scope."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from tests.support import schemas
from tests.support.dead_letters import PROJECT
from worker.config.api_tokens import Scope, make, section
from worker.config.token_file import TokenFile
from worker.execution.app_context import AppContext
from worker.interfaces.api.app import create_app

DELETIONS = f"/api/projects/{PROJECT}/deletions"
HERE = "http://127.0.0.1:8710"
NOW = datetime(2026, 11, 22, tzinfo=UTC)


def new_token(file: Path, name: str, *scopes: Scope, projects: tuple[str, ...] = ()) -> str:
    """Make a token; returns its secret."""
    made, secret = make(name, scopes, projects=projects)
    TokenFile(file).add(made, section(made, NOW))
    return secret


@dataclass
class Site:
    """`site.post(...)` as the token `shop`, which may do everything unless told otherwise."""

    redis_url: str
    tokens: Path
    environ: dict[str, str] = field(default_factory=dict)
    bind: str = "127.0.0.1"

    def __post_init__(self) -> None:
        environ = {"ERASER_REDIS_URL": self.redis_url, "ERASER_API_TOKENS_FILE": str(self.tokens)}
        environ |= {"HUAWEICLOUD_SDK_PROJECT_ID": PROJECT, **self.environ}
        self.app = AppContext.load(environ)
        self.app.patience_s = 0.2
        self.starlette = create_app(self.app, bind=self.bind)
        self.token = self.new_token("shop", *Scope)
        self.client = TestClient(self.starlette, base_url=HERE)

    def trace(self) -> None:
        """From now on each request has a span, as `serve` gives it one where traces are on."""
        from worker.interfaces.web.traced import Traced

        self.client = TestClient(Traced(self.starlette), base_url=HERE)

    def new_token(self, name: str, *scopes: Scope, projects: tuple[str, ...] = ()) -> str:
        return new_token(self.tokens, name, *scopes, projects=projects)

    def call(self, method: str, path: str, token: str | None = None, **more: Any) -> Any:
        headers = {"Authorization": f"Bearer {token or self.token}", **more.pop("headers", {})}
        response = self.client.request(method, path, headers=headers, **more)
        schemas.check_answered(method, path, response)
        return response

    def ask(self, *job_ids: str, token: str | None = None, headers: dict[str, str] | None = None, **fields: Any) -> Any:
        jobs = {"job_id": job_ids[0]} if len(job_ids) == 1 else {"job_ids": list(job_ids)}
        body = json.dumps(jobs | fields)  # in ASCII: half a surrogate pair can be said only so
        sent = {"Content-Type": "application/json", **(headers or {})}
        return self.call("POST", DELETIONS, token, content=body, headers=sent)

    def show(self, job_id: str) -> dict[str, Any]:
        response = self.call("GET", f"{DELETIONS}/{job_id}")
        assert response.status_code == 200, response.text
        found: dict[str, Any] = response.json()
        return found
