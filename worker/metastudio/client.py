"""The calls of MetaStudio, for every kind of target.

Each is one attempt: signed at that moment, or sent with a token of IAM; never repeated, and over by its deadline.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from worker.config.clock import elapsed
from worker.config.network import STRAIGHT, Network
from worker.config.personal import check_app_user
from worker.config.urls import check_endpoint
from worker.metastudio.credentials import CredentialsSource, Watch
from worker.metastudio.exchange import Call, Reply, prepare
from worker.metastudio.list_query import MAX_LIMIT, query_of
from worker.metastudio.parsing import read_answer, read_listing, read_shown
from worker.metastudio.quota import ASKING, read_quota, refuses_question
from worker.metastudio.renewing import Renewing
from worker.metastudio.response import Listing, Response, Shown, TokenUse
from worker.metastudio.server_clock import ServerClock
from worker.metastudio.signing import SdkHmacSha256, TokenAuth, canonical_query
from worker.metastudio.targets.adapter import Adapter
from worker.metastudio.targets.avatar_job import AVATAR_JOB
from worker.metastudio.targets.registry import adapter_of
from worker.metastudio.transport import Transport
from worker.model.errors import UsageError
from worker.model.ids import why_bad_id
from worker.model.target import JOB, Target

MAX_BODY_BYTES: Final = 64 * 1024
MAX_LISTING_BYTES: Final = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True, repr=False)
class _Called:
    """A reply, the secrets that must not appear in anything kept of it, the token of the call, and the watch that is
    told of the answer."""

    reply: Reply
    secrets: tuple[str, ...]
    token: TokenUse | None
    signed_at: datetime | None
    clock: ServerClock
    note: Callable[[Response], None]
    quota_of: str | None = None  # the family whose quota the call asked for

    def noted(self, response: Response) -> Response:
        """The answer; if it may be a refusal, with the token or the time of the signature."""
        if response.server_time is not None:
            self.clock.note(response.server_time)
        elif response.status in (200, 204):
            self.clock.note_date(self.reply.headers.get("Date"))
        if response.status in (400, 401):
            response = replace(response, token=self.token, signed_at=self.signed_at)
        if self.quota_of and (quota := read_quota(self.quota_of, self.reply.headers)):
            response = replace(response, quota=quota)
        self.note(response)
        return response


class Client:
    """One account's client for MetaStudio. Threads share it; `pool_size` connections are kept open between calls.

    The environment has no influence: no netrc (it would replace our signature), no proxy variables, no redirects. What
    has is the `network`: the CAs to trust, and a proxy.
    Raises `UsageError` for ids that must not be sent, and what the credentials' source raises. Whatever the network and
    the server do is an answer; if IAM gave no token it is IAM's, with `of_iam`.
    """

    def __init__(
        self,
        *,
        endpoint: str,
        credentials: CredentialsSource | Renewing[Any],
        connect_timeout_s: float,
        read_timeout_s: float,
        call_deadline_s: float,
        pool_size: int = 32,
        network: Network = STRAIGHT,
        watch: Watch | None = None,
    ) -> None:
        self._base = check_endpoint(endpoint.strip(), "ERASER_ENDPOINT")
        self._credentials, self._watch = credentials, watch
        self.clock = ServerClock()
        self._connect_timeout_s = connect_timeout_s
        self._read_timeout_s = read_timeout_s
        self._call_deadline_s = call_deadline_s
        self._transport = Transport(self._base, network, pool_size=pool_size)

    def delete(
        self,
        target: Target,
        *,
        app_user: str | None = None,
        signed_at: datetime | None = None,
        to_bin: bool = False,
        quota: bool = False,
    ) -> Response:
        """Delete one resource. `signed_at`: MetaStudio's time as other processes know it (see `ServerClock`).

        to_bin: only into the recycle bin, where its kind has one. quota: also ask the gateway for its limit of such
        calls (see `quota`).
        """
        adapter = adapter_of(target.kind)
        query = adapter.bin_mode if to_bin and adapter.bin_mode is not None else adapter.mode
        path = _one(adapter, target) + (f"?{query}" if query else "")
        how: dict[str, Any] = {"app_user": app_user, "signed_at": signed_at}
        response = self._change("DELETE", path, target, quota_of=adapter.deleting.name if quota else None, **how)
        meaning = adapter.meanings.get((response.status or 0, response.code or ""))
        return replace(response, meaning=meaning) if meaning else response

    def update(self, target: Target, fields: Mapping[str, str], **how: Any) -> Response:
        """Change fields of one resource. `how`: as for `delete`."""
        body = json.dumps(dict(fields)).encode()
        return self._change("PUT", _one(adapter_of(target.kind), target), target, body=body, **how)

    def restore(self, target: Target, **how: Any) -> Response:
        """Take one resource out of the recycle bin."""
        return self._change("POST", f"{_one(adapter_of(target.kind), target)}/restore", target, **how)

    def _change(self, method: str, path: str, target: Target, **how: Any) -> Response:
        called = self._call(method, path, target.project_id, target=target.id, **how)
        if isinstance(called, Response):
            return called
        return called.noted(read_answer(called.reply, secrets=called.secrets, dated=False))

    def show(self, target: Target, *, app_user: str | None = None, signed_at: datetime | None = None) -> Shown:
        """Get one resource."""
        adapter, project = adapter_of(target.kind), target.project_id
        path = _one(adapter, target)
        called = self._call("GET", path, project, app_user=app_user, signed_at=signed_at, target=target.id)
        if isinstance(called, Response):
            return Shown(called, None)
        shown = read_shown(called.reply, target.id, adapter, secrets=called.secrets)
        return Shown(called.noted(shown.response), shown.row)

    def ask(
        self, project_id: str, ids: Sequence[str] = (), *, kind: str = JOB, rows: int = MAX_LIMIT, **how: Any
    ) -> Listing:
        """List one resource by its id, or up to a hundred where the kind's list takes several; without ids the first
        ones of the kind. `how`: as for `list`."""
        adapter = adapter_of(kind)
        query = [("offset", "0"), ("limit", str(rows))]
        query += [(adapter.id_field, _checked(id, f"{adapter.word} id")) for id in ids]
        return self._list(adapter, project_id, query, **how)

    def list(
        self,
        project_id: str,
        *,
        app_user: str | None = None,
        signed_at: datetime | None = None,
        within_s: float | None = None,
        quota: bool = False,
        **filters: Any,
    ) -> Listing:
        """One page of the training jobs, by default the first hundred; `filters`: see `list_query`.

        within_s: an earlier end than the deadline; quota: as for `delete`.
        """
        how: dict[str, Any] = {"app_user": app_user, "signed_at": signed_at, "within_s": within_s, "quota": quota}
        return self._list(AVATAR_JOB, project_id, query_of(**filters), **how)

    def _list(
        self, adapter: Adapter, project_id: str, query: Iterable[tuple[str, str]], *, quota: bool = False, **how: Any
    ) -> Listing:
        path = f"{_collection(adapter, project_id)}?{canonical_query(query)}"
        how |= {"quota_of": adapter.reading.name if quota else None}
        called = self._call("GET", path, project_id, max_body_bytes=MAX_LISTING_BYTES, **how)
        if isinstance(called, Response):
            return Listing(called, None, None)
        listing = read_listing(called.reply, adapter, secrets=called.secrets)
        return Listing(called.noted(listing.response), listing.count, listing.rows)

    def note_time(self, now: datetime, ago_s: float) -> None:
        """Take note of MetaStudio's time, as another process found out so long ago."""
        self.clock.note_others(now, ago_s)

    def ready(self, project_id: str) -> Response | None:
        """Fetch now what the next call would have to fetch. None: it has everything; else the issuer's answer.

        So that nothing but the call itself happens after the last check.
        """
        if not isinstance(self._credentials, Renewing):
            return None
        if self._watch:
            self._watch.before(self._credentials.current().signer)
        token = self._credentials.token(project_id, self._begin(), self._watch)
        return token if isinstance(token, Response) else None

    def renew(self, refused: Response) -> bool:
        """After MetaStudio refused the credentials of a call: whether the next call uses newer ones.

        Sends nothing; the next call fetches what it needs. Always False for a key: there is nothing to renew.
        """
        if refused.token is None or not isinstance(self._credentials, Renewing):
            return False
        return self._credentials.renew(refused.token)

    def close(self) -> None:
        self._transport.close()

    def _begin(self, within_s: float | None = None) -> Call:
        seconds = self._call_deadline_s if within_s is None else min(within_s, self._call_deadline_s)
        return Call(self._connect_timeout_s, self._read_timeout_s, elapsed() + seconds)

    def _call(
        self,
        method: str,
        path: str,
        project_id: str,
        *,
        app_user: str | None = None,
        signed_at: datetime | None = None,
        max_body_bytes: int = MAX_BODY_BYTES,
        target: str | None = None,
        within_s: float | None = None,
        quota_of: str | None = None,
        body: bytes | None = None,
    ) -> _Called | Response:
        """The reply, or IAM's answer if it gave no token: then nothing was sent.

        quota_of: the family of calls whose quota the gateway is asked for. One that refuses the call for this question
        alone carried nothing out: then it is sent without it.
        """
        source = self._credentials
        credentials = source.current()
        if self._watch:
            self._watch.before(credentials.signer)
        call = self._begin(within_s)
        use: TokenUse | None = None
        value, secrets = credentials, credentials.secrets
        if isinstance(source, Renewing):
            issued = source.token(project_id, call, self._watch)
            if isinstance(issued, Response):
                return issued
            value, use, secrets = issued.value, issued.use, (*issued.secrets, *secrets)
        signed_at = None if isinstance(value, str) else self.clock.now(signed_at)
        auth = TokenAuth(value) if isinstance(value, str) else SdkHmacSha256(value, signed_at=signed_at)

        def send(call: Call, question: Mapping[str, str]) -> Reply:
            headers = {"X-Project-Id": project_id, **question}
            if body is not None:
                headers |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
            request = prepare(method, self._base + path, headers, body)
            if app_user is not None and check_app_user(app_user):
                request.headers["X-App-UserId"] = app_user
            auth(request)
            return self._transport.exchange(request, call, max_body_bytes=max_body_bytes)

        reply = send(call, ASKING if quota_of else {})
        if quota_of and refuses_question(reply.status, reply.body):
            reply, quota_of = send(replace(call, sent_at=None, failure=None), {}), None

        def note(response: Response) -> None:
            if self._watch:
                final = use is None or not isinstance(source, Renewing) or source.is_last(use)
                self._watch.after(credentials.signer, response, target=target, final=final)

        return _Called(reply, (*secrets, *_private(app_user)), use, signed_at, self.clock, note, quota_of)


def _collection(adapter: Adapter, project_id: str) -> str:
    return f"/v1/{_checked(project_id, 'project id')}/{adapter.path}"


def _one(adapter: Adapter, target: Target) -> str:
    return f"{_collection(adapter, target.project_id)}/{_checked(target.id, f'{adapter.word} id')}"


def _checked(text: str, what: str) -> str:
    why = why_bad_id(text, what)
    if why:
        raise UsageError(why)
    return text


def _private(app_user: str | None) -> tuple[str, ...]:
    # A shorter app user would mask half of every message; in the echoed header it is masked however short.
    return (app_user,) if app_user and len(app_user) > 3 else ()
