"""The IAM user whose tokens are used instead of a signature, and where its password comes from.

Like every secret, the password may be in a file, which is read again when it changes. It leaves this process only in
the body of a request to IAM.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NoReturn

from worker.config.forks import when_forked
from worker.metastudio.credentials import Signer, secret_file, variable
from worker.model.errors import SettingsError

USER: Final = "ERASER_IAM_USER"
PASSWORD: Final = "ERASER_IAM_PASSWORD"  # noqa: S105  the name of a setting, not its value
DOMAIN: Final = "ERASER_IAM_DOMAIN"

_SALT: Final = b"avatar-eraser: fingerprint of a login"
_SCRYPT: Final = {"n": 2**15, "r": 8, "p": 1, "maxmem": 64 * 1024 * 1024}  # 32 MiB and some 80 ms for each guess


@dataclass(frozen=True, slots=True, repr=False)
class Login:
    """The login that gets tokens from IAM. It is shown as the user and the domain, never the password."""

    user: str
    password: str
    domain: str
    fingerprint: str = field(init=False, compare=False)
    """Eight hex digits, the same for every token of this login; safe to store and to log.

    A password, unlike a secret key, can be guessed, and eight digits of a quick hash would confirm the guess: so each
    guess is made to cost memory and time. It is computed once, with the value.
    """

    def __post_init__(self) -> None:
        for name, value in ((USER, self.user), (PASSWORD, self.password), (DOMAIN, self.domain)):
            _check(name, value)
        parts = "\0".join((self.user, self.domain, self.password))
        object.__setattr__(self, "fingerprint", hashlib.scrypt(parts.encode(), salt=_SALT, dklen=4, **_SCRYPT).hex())

    @property
    def signer(self) -> Signer:
        """The identity for refusals: IAM counts them by user."""
        name = "\0".join((self.user, self.domain))
        return Signer(hashlib.sha256(name.encode()).hexdigest()[:16], self.fingerprint)

    def __repr__(self) -> str:
        return f"Login(user={self.user}, password=***, domain={self.domain})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a login is never pickled: it must not travel in messages or be stored")

    @property
    def secrets(self) -> tuple[str, ...]:
        """The texts that must not appear in anything kept of IAM's answers; shorter names would mask half a message."""
        return (self.password, *(name for name in (self.user, self.domain) if len(name) > 3))


class LoginSource:
    """A user and its domain as set, and the current password.

    The password is in the variable `password_env`, in the file that <password_env>_FILE names, or in `password_file`.
    """

    def __init__(
        self,
        user: str,
        domain: str,
        *,
        environ: Mapping[str, str],
        password_env: str = PASSWORD,
        password_file: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._user, self._domain = user, domain
        self._name = password_env if password_file is None else "iam_password_file"
        self._read: Callable[[], str | None] = (
            secret_file(password_file, self._name, clock) if password_file else variable(environ, password_env, clock)
        )
        self._last: Login | None = None
        self._new_lock()
        when_forked(self._new_lock)

    def _new_lock(self) -> None:
        self._reading = threading.Lock()  # so that the slow hash is computed once

    def current(self) -> Login:
        """The login to use now. Raises `SettingsError` with what to set."""
        with self._reading:
            return self._current()

    def _current(self) -> Login:
        password = self._read()
        last = self._last
        if last is not None and last.password == password:
            return last
        if not password:
            why = f"not set; set it (or {self._name}_FILE) to the password of the IAM user {self._user}"
            raise SettingsError(self._name, why)
        _check(self._name, password)
        self._last = login = Login(self._user, password, self._domain)
        return login


def _check(name: str, value: str) -> None:
    if not value.strip():
        raise SettingsError(name, "is blank; set it to what the IAM console shows")
    if not value.isprintable():
        raise SettingsError(
            name, "has a control character or a line break in it; set it again (the value is not shown)"
        )
