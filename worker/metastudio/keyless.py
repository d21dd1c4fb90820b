"""Temporary keys that the platform issues: to an ECS by its agency, to a pod by its identity, to an OIDC token by STS.

The requests and answers are those of the official SDK's providers. See `renewing` for the life of a key. What may be
said of a refusal is different from a password's: none locks anything at the issuer, so a renewal that was refused is
tried again after a minute; and a key that MetaStudio refuses before its end is a key like any other, so the first
refusal counts, and whoever tries next has fetched a new one.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from worker.config.keyless import KeylessReference, Source
from worker.config.network import STRAIGHT
from worker.config.urls import origin_of
from worker.metastudio.credentials import Credentials, Signer, secret_file, variable
from worker.metastudio.exchange import Call, Reply, prepare
from worker.metastudio.issuer_answers import failed, life_s
from worker.metastudio.renewing import Renewing
from worker.metastudio.response import Response, TokenUse
from worker.model.errors import SettingsError

ISSUERS: Final = {Source.ECS: "metadata service", Source.CCE: "pod identity", Source.OIDC: "STS"}
_TOKEN_PATH: Final = "/meta-data/latest/api/token"  # noqa: S105  a path
_KEY_PATH: Final = "/openstack/latest/securitykey"
_STS_PATH: Final = "/v5/agencies/assume-with-oidc"
_TOKEN_LIFE_S: Final = "60"  # noqa: S105  of the metadata service's own token: it serves one request
_NO_TOKENS: Final = (404, 405, 503)  # the metadata service issues none, and wants none
_NO_AGENCY: Final = b"configure Cloud Service Agency"
_NAMES: Final = (  # of access key, secret, token and end: metadata and IAM, pod identity, STS
    ("access", "accessKeyId", "access_key_id"),
    ("secret", "secretAccessKey", "secret_access_key"),
    ("securitytoken", "securityToken", "security_token"),
    ("expires_at", "expiration"),
)


@dataclass(frozen=True, slots=True, repr=False)
class Agency:
    """As whom keys are issued, and the token that proves it now."""

    reference: KeylessReference
    token: str | None = field(default=None, compare=False)

    @property
    def fingerprint(self) -> str:
        return self.signer.fingerprint

    @property
    def signer(self) -> Signer:
        """The same for every key, in every process: whoever is refused is refused as this."""
        one = self.reference
        text = "\0".join(filter(None, (one.source, one.address, one.provider_urn, one.agency_urn)))
        name = hashlib.sha256(text.encode()).hexdigest()
        return Signer(name[:16], name[:8])

    @property
    def secrets(self) -> tuple[str, ...]:
        return (self.token,) if self.token else ()

    def __repr__(self) -> str:
        return f"Agency({self.reference}, token=***)"


class TemporaryKeys(Renewing[Agency]):
    """The keys of one account in this process: one at a time, for all its projects."""

    by_project = False
    may_lock = False

    def __init__(
        self,
        reference: KeylessReference,
        environ: Mapping[str, str],
        *,
        file_clock: Callable[[], float] = time.monotonic,
        **how: Any,
    ) -> None:
        if reference.source is not Source.OIDC:  # the platform's own address is no proxy's business
            how["network"] = replace(how.get("network", STRAIGHT), proxy=None)
        super().__init__(**how)
        self.issuer = ISSUERS[reference.source]
        self._reference = reference
        self._read: Callable[[], str | None] = lambda: None
        if reference.token_file is not None:
            self._read = secret_file(reference.token_file, reference.token_name, file_clock)
        elif reference.token_name:
            self._read = variable(environ, reference.token_name, file_clock)

    def current(self) -> Agency:
        token = (self._read() or "").strip() or None
        if token is None and self._reference.token_name:
            raise SettingsError(self._reference.token_name, "is blank; the platform's token belongs there")
        if token is not None and not (token.isascii() and token.isprintable()):
            raise SettingsError(self._reference.token_name, "has no token: a line break or a character outside ASCII")
        return Agency(self._reference, token)

    def renew(self, refused: TokenUse) -> bool:
        """Drop the key that was refused. Whoever calls next fetches another one, once the account may call again."""
        with self._changing:
            kept = self._tokens.get(refused.project_id)
            if kept is None or kept.use.number != refused.number:
                return True
            del self._tokens[refused.project_id]
            return False

    def is_last(self, use: TokenUse) -> bool:
        kept = self._tokens.get(use.project_id)
        return kept is not None and kept.use.number == use.number

    def _refuses(self, response: Response) -> bool:
        return response.is_permanent_error

    def _fetch(self, _: str, login: Agency, call: Call) -> tuple[Credentials, float, float] | Response:
        sent = self._clock()
        reply = self._requested(login, call)
        answer = failed(reply, login.secrets, self.issuer, given=200 if reply.status == 200 else 201)
        if reply.status not in (200, 201):
            no_agency = self._reference.source is Source.ECS and _NO_AGENCY in reply.body
            return replace(answer, message="this ECS has no agency: choose one for it") if no_agency else answer
        document = _document(reply.body)
        ak, sk, token, end = (next((document[n] for n in names if document.get(n)), None) for names in _NAMES)
        try:
            key = Credentials(str(ak or ""), str(sk or ""), str(token) if token else None)
        except SettingsError:
            return answer
        life = life_s(reply, end)
        return (key, sent, life) if life > 0 else answer

    def _requested(self, login: Agency, call: Call) -> Reply:
        one = self._reference
        match one.source:
            case Source.ECS:
                return self._of_this_ecs(call)
            case Source.CCE:
                return self._post(one.address or "", {}, {"Authorization": login.token or ""}, call)
            case _:
                payload: dict[str, Any] = {
                    "provider_urn": one.provider_urn,
                    "agency_urn": one.agency_urn,
                    "agency_session_name": one.session,
                    "id_token": login.token,
                    "duration_seconds": one.duration_s,
                }
                narrower = {"policy": one.policy, "policy_ids": list(one.policy_ids)}
                payload |= {name: value for name, value in narrower.items() if value}
                return self._post(f"{one.address}{_STS_PATH}", payload, {}, call)

    def _of_this_ecs(self, call: Call) -> Reply:
        """A token of the metadata service first, where it issues any: without one it may refuse us."""
        address = self._reference.address or ""
        headers = {"X-Metadata-Token-Ttl-Seconds": _TOKEN_LIFE_S, "Content-Length": "0"}
        reply = self._exchange(address, prepare("PUT", address + _TOKEN_PATH, headers), call)
        if reply.status != 200 and reply.status not in _NO_TOKENS:
            return reply
        token = reply.body.decode("ascii", "replace").strip() if reply.status == 200 else ""
        headers = {"X-Metadata-Token": token} if token.isascii() and token.isprintable() and token else {}
        return self._exchange(address, prepare("GET", address + _KEY_PATH, headers), call)

    def _post(self, url: str, payload: Mapping[str, Any], headers: Mapping[str, str], call: Call) -> Reply:
        body = json.dumps(payload).encode()
        headers = {"Content-Type": "application/json;charset=utf8", "Content-Length": str(len(body)), **headers}
        return self._exchange(origin_of(url), prepare("POST", url, headers, body), call)


def _document(body: bytes) -> Mapping[str, Any]:
    """The table with the key, in whichever of the documented forms. Empty if there is none."""
    try:
        document = json.loads(body)
        found = document.get("credential") or document.get("credentials") or document
    except (ValueError, RecursionError, AttributeError):
        return {}
    return found if isinstance(found, dict) else {}
