"""What this process has to fetch before a call: tokens of IAM and temporary keys, kept only in its memory.

The life of what is issued:

    1. The first call fetches one. The other threads wait for it and use it too.
    2. When little of its life is left, one thread renews it while the others still use the old one.
    3. MetaStudio may refuse it earlier: `renew` drops it, once, however many calls were using it, and the next call
       fetches its successor.
    4. If that one is refused too, it was not the problem: `renew` returns False, and the account's gate closes.

A failed request for one is not repeated at once; until then every caller gets the same answer. A refusal is valid for
a minute, and for as long as an older one still works; "locked" for as long as the lock; only a new secret is tried at
once. A missing answer is valid for a second, then for longer and longer.

That something was issued proves nothing: MetaStudio may refuse it, too, and then new ones would be asked for without
an end. So an identity that was refused counts as refused until MetaStudio takes what it got.

Each process has its own: a new one does not end the old one, and none is ever in Redis. So that many processes that
started together do not renew together, each chooses its time within the second half of the time left.
"""

from __future__ import annotations

import logging
import random
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Final, Generic, NoReturn, Protocol, TypeVar

import requests

from worker.config import known_secrets
from worker.config.clock import elapsed
from worker.config.forks import when_forked
from worker.config.network import STRAIGHT, Network
from worker.metastudio.credentials import Credentials, Signer, Watch
from worker.metastudio.exchange import Call, Reply
from worker.metastudio.issuer_answers import LOCKED, is_refused, silent, wait_s
from worker.metastudio.response import IAM, Response, TokenUse, TransportFailure
from worker.metastudio.transport import Transport
from worker.model.errors import EraserError

log = logging.getLogger(__name__)

RENEW_BEFORE_S: Final = 40 * 60.0  # as early as the official SDK renews what it fetched…
RENEW_BEFORE_SHARE: Final = 0.05  # …or this share of a shorter life
ON_TRIAL_S: Final = 60.0  # if what replaced a refused one is refused within this time, the refusal is final
_MAX_BODY_BYTES: Final = 1024 * 1024  # the roles of a user can be hundreds


class Identity(Protocol):
    """As whom something is issued: what refusals are counted by, and what must not be shown."""

    @property
    def fingerprint(self) -> str: ...
    @property
    def signer(self) -> Signer: ...
    @property
    def secrets(self) -> tuple[str, ...]: ...


I = TypeVar("I", bound=Identity)  # noqa: E741
Value = str | Credentials  # a token, or a temporary key


@dataclass(frozen=True, slots=True, repr=False)
class Issued:
    """One token or key, and when to renew it; times in seconds of the owner's clock."""

    value: Value
    use: TokenUse
    login: str  # fingerprint of the identity it belongs to
    fetched: float
    renew_at: float
    ends_at: float
    on_trial: bool  # it replaced one that MetaStudio refused

    @property
    def secrets(self) -> tuple[str, ...]:
        return (self.value,) if isinstance(self.value, str) else self.value.secrets

    def __repr__(self) -> str:
        return f"Issued({self.use}, value=***)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("what was issued is never pickled: it must not travel in messages or be stored")


@dataclass(frozen=True, slots=True)
class _Failure:
    """The issuer's last answer, and until when it is not asked again."""

    response: Response
    login: str
    until: float
    in_a_row: int


class Renewing(ABC, Generic[I]):
    """What is issued to one account in this process. Threads share it.

    Opens no connection before the first call. `clock` never steps, and also counts while the machine sleeps; `random`
    gives numbers in [0, 1).
    """

    issuer = IAM  # for people
    by_project: ClassVar[bool] = True  # each project needs its own
    may_lock: ClassVar[bool] = True  # a refusal counts towards a lock: none more is risked while an older one works

    def __init__(
        self,
        *,
        network: Network = STRAIGHT,
        clock: Callable[[], float] = elapsed,
        random: Callable[[], float] = random.random,
    ) -> None:
        self._clock, self._random = clock, random
        self._network = network
        self._tokens: dict[str, Issued] = {}
        self._refused: set[str] = set()  # projects whose next token is a last try
        self._failures: dict[str | None, _Failure] = {}  # by project; None: about the login or the issuer itself
        self._last_number = 0
        self._new_locks()
        when_forked(self._new_locks)

    def _new_locks(self) -> None:
        self._fetching = threading.Lock()  # held for as long as IAM takes
        self._changing = threading.Lock()  # held for a moment

    @abstractmethod
    def current(self) -> I:
        """As whom it would be fetched now; sends nothing. Raises `SettingsError` with what to set."""

    @abstractmethod
    def _fetch(self, project_id: str, login: I, call: Call) -> tuple[Value, float, float] | Response:
        """Fetch anew: the value, when it was sent for and how many seconds it lives; or the issuer's answer."""

    def token(self, project_id: str, call: Call, watch: Watch | None = None) -> Issued | Response:
        """A token or key for a call, or the issuer's answer. `watch` limits how often the identity is refused.

        At least a quarter of the call's time is left for the call itself.
        """
        login, project_id = self.current(), project_id if self.by_project else ""
        kept = self._kept(project_id, login)
        if kept is not None and self._clock() < kept.renew_at:
            return kept
        patience_s = max(0.0, _left_s(call) / 2)
        if not (self._fetching.acquire(timeout=patience_s) if kept is None else self._fetching.acquire(blocking=False)):
            return kept or silent(TransportFailure.TIMEOUT, round(patience_s * 1000))
        try:
            return self._renewed(project_id, login, call, watch)
        finally:
            self._fetching.release()

    def renew(self, refused: TokenUse) -> bool:
        """MetaStudio refused this token: whether calls use another one from now on. Sends nothing.

        False: the token had just replaced another refused one, so one more would be refused as well.
        """
        with self._changing:
            kept = self._tokens.get(refused.project_id)
            if kept is None or kept.use.number != refused.number:
                return True
            if self._settles_it(kept):
                return False
            del self._tokens[refused.project_id]
            self._refused.add(refused.project_id)
            return True

    def is_last(self, use: TokenUse) -> bool:
        """Whether a refusal of this token is final: then `renew` returns False."""
        kept = self._tokens.get(use.project_id)
        return kept is not None and kept.use.number == use.number and self._settles_it(kept)

    def _refuses(self, response: Response) -> bool:
        """Whether the issuer refuses the identity itself."""
        return is_refused(response)

    def _settles_it(self, kept: Issued) -> bool:
        return kept.on_trial and self._clock() - kept.fetched < ON_TRIAL_S

    def _kept(self, project_id: str, login: I) -> Issued | None:
        token = self._tokens.get(project_id)
        usable = token is not None and token.login == login.fingerprint and self._clock() < token.ends_at
        return token if usable else None

    def _renewed(self, project_id: str, login: I, call: Call, watch: Watch | None) -> Issued | Response:
        """Check again, now that no other thread fetches; then fetch."""
        kept, now = self._kept(project_id, login), self._clock()
        if kept is not None and now < kept.renew_at:
            return kept
        for failure in (self._failures.get(about) for about in (None, project_id)):
            if failure is None or failure.login != login.fingerprint:
                continue
            wrong, waits = self._refuses(failure.response), now < failure.until
            if (kept is not None and wrong and self.may_lock) or (waits and not (wrong and watch and kept is None)):
                return kept or failure.response
        if watch:
            try:
                watch.before(login.signer, anew=True, close=kept is None)
            except EraserError:
                if kept is None:
                    raise
                return kept
        fetched = self._fetch(project_id, login, call)
        if isinstance(fetched, Response):
            self._remember(fetched, project_id, login)
            fields = {"status": fetched.status, "code": fetched.code, "error": fetched.message or fetched.failure}
            log.warning("token.not_given", extra={"project_id": project_id, "source": self.issuer, **fields})
            if watch and self._refuses(fetched):
                if kept is None or self.may_lock:
                    watch.refused(login.signer, fetched, close=kept is None)
            elif watch:
                watch.after(login.signer, fetched)
            return kept or fetched
        issued = self._keep(project_id, login, *fetched)
        log.info("token.given", extra={"project_id": project_id, "source": self.issuer, "number": issued.use.number})
        self._failures.pop(None, None)
        self._failures.pop(project_id, None)
        return issued

    def _exchange(self, origin: str, request: requests.PreparedRequest, call: Call) -> Reply:
        """On a new connection: the next request is hours away, and an old connection may be dead by then."""
        request.headers["Connection"] = "close"
        within = Call(call.connect_timeout_s, call.read_timeout_s, elapsed() + _left_s(call) / 2)
        transport = Transport(origin, self._network, pool_size=1)
        try:
            return transport.exchange(request, within, max_body_bytes=_MAX_BODY_BYTES)
        finally:
            transport.close()

    def _keep(self, project_id: str, login: I, value: Value, sent: float, life_s: float) -> Issued:
        early_s = min(RENEW_BEFORE_S, RENEW_BEFORE_SHARE * life_s) * (1 + self._random()) / 2
        with self._changing:
            self._last_number += 1
            token = Issued(
                value=value,
                use=TokenUse(project_id, self._last_number),
                login=login.fingerprint,
                fetched=self._clock(),
                renew_at=sent + life_s - early_s,
                ends_at=sent + life_s,
                on_trial=project_id in self._refused,
            )
            known_secrets.add(f"{self.issuer} {id(self)} {project_id}", *token.secrets)
            self._refused.discard(project_id)
            self._tokens[project_id] = token
        return token

    def _remember(self, response: Response, project_id: str, login: I) -> None:
        # Whether this user may work in this project says nothing about its password or the other projects.
        about = project_id if response.status in (400, 403, 404) and response.code != LOCKED else None
        last = self._failures.get(about)
        in_a_row = last.in_a_row + 1 if last is not None and last.login == login.fingerprint else 1
        until = self._clock() + wait_s(response, in_a_row)
        self._failures[about] = _Failure(response, login.fingerprint, until, in_a_row)


def _left_s(call: Call) -> float:
    return call.deadline - elapsed()
