"""The HTTP side as its callers see it: an application on a real Redis, and tokens for each scope."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from tests.dead_letters import PROJECT
from worker.operations.http.app import create_app
from worker.operations.http.token_file import TokenFile
from worker.operations.http.tokens import Scope, make, section
from worker.runtime import Runtime

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
        self.running = Runtime.load(environ)
        self.running.patience_s = 0.2
        self.rung: list[tuple[str, str]] = []
        self.app = create_app(self.running, bind=self.bind, ring=lambda *bell: self.rung.append(bell))
        self.token = self.new_token("shop", *Scope)
        self.client = TestClient(self.app, base_url=HERE)

    def new_token(self, name: str, *scopes: Scope, projects: tuple[str, ...] = ()) -> str:
        return new_token(self.tokens, name, *scopes, projects=projects)

    def call(self, method: str, path: str, token: str | None = None, **more: Any) -> Any:
        headers = {"Authorization": f"Bearer {token or self.token}", **more.pop("headers", {})}
        return self.client.request(method, path, headers=headers, **more)

    def ask(self, *job_ids: str, token: str | None = None, headers: dict[str, str] | None = None, **said: Any) -> Any:
        jobs = {"job_id": job_ids[0]} if len(job_ids) == 1 else {"job_ids": list(job_ids)}
        body = json.dumps(jobs | said)  # in ASCII: half a surrogate pair can be said only so
        sent = {"Content-Type": "application/json", **(headers or {})}
        return self.call("POST", DELETIONS, token, content=body, headers=sent)

    def show(self, job_id: str) -> dict[str, Any]:
        answer = self.call("GET", f"{DELETIONS}/{job_id}")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found
