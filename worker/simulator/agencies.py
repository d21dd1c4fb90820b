"""Those who issue temporary keys without a stored secret, on the same port: an ECS's metadata service, a pod identity's
agent, and STS. The keys are of the first credential's projects.

| request | answer |
|---|---|
| PUT /meta-data/latest/api/token with X-Metadata-Token-Ttl-Seconds | 200, a token of the metadata service |
| GET /openstack/latest/securitykey with it | 200 `credential`, the same one until half of its life has passed |
| the same without an agency | 401 "Please configure Cloud Service Agency first" |
| POST /v1/credentials, Authorization: the pod's token | 200 `credentials` in the agent's form |
| POST /v5/agencies/assume-with-oidc with the OIDC token and the URNs of both | 200 `credentials` in STS's form |
| either with another token | 401 |
| according to a fault with method TOKEN (see `faults`) | 429, 500, 503, no answer and the others |
"""

from __future__ import annotations

import hmac
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from worker.simulator import responses
from worker.simulator.http1 import Request
from worker.simulator.responses import Reply
from worker.simulator.verification import Credential, KeyRing

PATHS = {
    ("PUT", "/meta-data/latest/api/token"): "metadata_token",
    ("GET", "/openstack/latest/securitykey"): "metadata_key",
    ("POST", "/v1/credentials"): "pod_key",
    ("POST", "/v5/agencies/assume-with-oidc"): "sts_key",
}
DEMO_IDENTITY = "simulator-identity-token-that-opens-nothing"  # of a pod, and of an OIDC provider
LIFE_S = 3600.0
KEY_CANARY = "SIMULATORTEMPKEY"
_URNS = ("provider_urn", "agency_urn")
_OF_AN_ECS = ("access", "secret", "securitytoken", "expires_at")
_OF_A_POD = ("accessKeyId", "secretAccessKey", "securityToken", "expiration")
_OF_STS = ("access_key_id", "secret_access_key", "security_token", "expiration")


@dataclass(slots=True)
class Agencies:
    """What was issued to this ECS, and how many keys to all. `renewed`: when the ECS's key is replaced; monotonic."""

    issued: int = 0
    metadata_tokens: set[str] = field(default_factory=set)
    of_the_ecs: dict[str, str] | None = None
    renewed: float = 0.0

    def grant(self, operation: str, request: Request, settings: Settings) -> Reply:
        """Answer a request for a token of the metadata service, or for a key."""
        match operation:
            case "metadata_token":
                if not settings.metadata_tokens:
                    return _error(404, "Not Found")
                self.metadata_tokens.add(token := secrets.token_urlsafe(24))
                return Reply(200, token.encode())
            case "metadata_key":
                return self._of_the_ecs(request, settings)
            case "pod_key":
                if not _is(request.header.get("authorization", ""), settings.identity):
                    return _error(401, "token is invalid")
                return _reply("credentials", self._issue(settings), _OF_A_POD)
            case _:
                return self._of_sts(request, settings)

    def _of_the_ecs(self, request: Request, settings: Settings) -> Reply:
        if settings.metadata_tokens and request.header.get("x-metadata-token") not in self.metadata_tokens:
            return _error(401, "Unauthorized")
        if not settings.agency:
            return _error(401, "Please configure Cloud Service Agency first")
        if self.of_the_ecs is None or settings.now >= self.renewed:
            self.of_the_ecs, self.renewed = self._issue(settings), settings.now + settings.life_s / 2
        return _reply("credential", self.of_the_ecs, _OF_AN_ECS)

    def _of_sts(self, request: Request, settings: Settings) -> Reply:
        try:
            document = json.loads(request.body)
            named = all(isinstance(document[name], str) and document[name].startswith("iam::") for name in _URNS)
            token = document["id_token"]
        except (ValueError, KeyError, TypeError):
            named, token = False, ""
        if not named or not isinstance(token, str):
            return responses.mss(400, "PAP5.0003", "The request body is invalid.")
        if not _is(token, settings.identity):
            return responses.mss(401, "PAP5.0012", "The identity token is invalid.")
        return _reply("credentials", self._issue(settings), _OF_STS)

    def _issue(self, settings: Settings) -> dict[str, str]:
        """A new key as the gateway knows it from now on: access key, secret, token, end."""
        self.issued += 1
        ak, sk, token = (f"{KEY_CANARY}{self.issued:04d}", secrets.token_urlsafe(30), secrets.token_urlsafe(200))
        ends = settings.now + settings.life_s
        settings.keys.put(Credential(ak, sk, token, settings.projects, ends=ends))
        end = settings.clock() + timedelta(seconds=settings.life_s)
        return {"ak": ak, "sk": sk, "token": token, "end": end.strftime("%Y-%m-%dT%H:%M:%S.%fZ")}


@dataclass(frozen=True, slots=True)
class Settings:
    """What the issuers need to know of the simulator. `now` is monotonic, `clock` the server's."""

    keys: KeyRing
    projects: tuple[str, ...]
    identity: str
    agency: bool
    metadata_tokens: bool
    life_s: float
    now: float
    clock: Callable[[], datetime]


def _is(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), expected.encode())


def _reply(table: str, key: dict[str, str], names: tuple[str, str, str, str]) -> Reply:
    return Reply(200, responses.as_json({table: dict(zip(names, key.values(), strict=True))}))


def _error(status: int, message: str) -> Reply:
    return Reply(status, responses.as_json({"error": {"code": status, "message": message}}))
