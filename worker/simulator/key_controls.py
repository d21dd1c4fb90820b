"""The commands about keys, users, tokens and rights."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from worker.model.errors import UsageError
from worker.simulator.commands import Commands, command
from worker.simulator.iam import IamUser
from worker.simulator.kinds import FAMILIES
from worker.simulator.verification import Credential


class KeyControls(Commands):
    """Whom the gateway lets in, and to what."""

    @command
    def set_credential(
        self,
        ak: str,
        sk: str,
        *,
        security_token: str | None = None,
        projects: Sequence[str] = (),
        sees_jobs: bool = True,
        sees_library: bool = True,
    ) -> None:
        """Add a key or replace its secret; no `projects` means the default project. A lock stays."""
        allowed, sees = tuple(projects) or (self.state.project,), {"sees_jobs": sees_jobs, "sees_library": sees_library}
        self.state.keys.put(Credential(ak, sk, security_token, allowed, **sees))

    @command
    def disable_credential(self, ak: str) -> None:
        self.state.keys.put(replace(self.state.keys.get(ak), enabled=False))

    @command
    def enable_credential(self, ak: str) -> None:
        self.state.keys.put(replace(self.state.keys.get(ak), enabled=True))

    @command
    def remove_credential(self, ak: str) -> None:
        self.state.keys.remove(ak)

    @command
    def deny(self, families: list[Any], *, ak: str | None = None) -> None:
        """Answer 403 APIGW.0302 to calls of these families (`kinds.FAMILIES`) by one key (`iam:<user>` for tokens;
        None: the first key); an empty list ends it.
        """
        if unknown := {str(family) for family in families} - set(FAMILIES):
            raise UsageError(f"deny: no family {', '.join(sorted(unknown))}; use {', '.join(FAMILIES)}")
        self.state.denied[ak or self.state.credentials[0].ak] = frozenset(families)

    @command
    def unlock(self, ak: str) -> None:
        """End a key's lock and forget its failures."""
        self.state.keys.locks.clear(ak)

    @command
    def set_user(
        self,
        name: str,
        password: str,
        *,
        domain: str | None = None,
        projects: Sequence[str] = (),
        enabled: bool = True,
        sees_jobs: bool = True,
        sees_library: bool = True,
    ) -> None:
        """Add a user that may fetch tokens, or replace it; no `projects` means the default one, no `domain` the first
        user's. Its tokens and a lock stay."""
        allowed, domain = tuple(projects) or (self.state.project,), domain or self.state.users[0].domain
        self.state.iam.put(IamUser(name, password, domain, allowed, enabled, sees_jobs, sees_library))

    @command
    def set_token_life(self, seconds: float) -> None:
        """Set the life of tokens that are issued from now on."""
        self.state.change(token_life_s=seconds)

    @command
    def expire_tokens(self) -> int:
        """End every token issued so far; returns how many were valid."""
        return self.state.iam.expire(time.monotonic())

    @command
    def set_agency(
        self,
        *,
        agency: bool | None = None,
        identity: str | None = None,
        key_life_s: float | None = None,
        metadata_tokens: bool | None = None,
    ) -> None:
        """Change how temporary keys are issued: whether the ECS has an agency, which token proves a pod or an OIDC
        subject, how long keys live, and whether the metadata service demands tokens. None: as before."""
        fields = {"agency": agency, "identity": identity, "key_life_s": key_life_s, "metadata_tokens": metadata_tokens}
        self.state.change(**{name: value for name, value in fields.items() if value is not None})

    @command
    def expire_keys(self) -> int:
        """End every temporary key issued so far; returns how many were valid."""
        self.state.agencies.of_the_ecs = None
        return self.state.keys.expire(time.monotonic())

    @command
    def refuse_tokens(self, code: str | None = "APIGW.0307") -> None:
        """Refuse every token, new ones too, with APIGW.0307 (401) or MSS.00010008 (400); None ends it."""
        self.state.change(refuse_tokens=code)

    @command
    def unlock_user(self, name: str) -> None:
        """End the lock of every user of this name and forget the wrong passwords."""
        self.state.iam.unlock(name)
