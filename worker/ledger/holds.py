"""The hold list of one account: what must not be sent, by job or by app user, whoever asks for it and however often."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Unpack

from worker.ledger import values
from worker.ledger.audit_actions import ActionName, Who, explained
from worker.ledger.deletions import BATCH, LedgerReader
from worker.ledger.redis_read import read_redis, scanned
from worker.ledger.schema.keys import Key
from worker.ledger.types import lean
from worker.model.shares import batches
from worker.model.target import Target


@dataclass(frozen=True, slots=True)
class Hold:
    """One entry. Times in ms since 1970, Redis's clock."""

    ref: Target | None  # None: by app user
    user: str | None  # the app user's hash, see `worker.ledger.pseudonyms`
    reason: str
    by: str
    since: float
    until: float | None  # None: until it is removed


@dataclass(frozen=True, slots=True)
class OnHold:
    """What is on hold at one moment, for a plan that has many rows to judge."""

    refs: frozenset[Target]
    users: frozenset[str]


class HoldList(LedgerReader):
    """Adds, removes and reads holds. Raises `Unreachable` when Redis does not answer."""

    # -- adding ------------------------------------------------------------------------------------------------------

    def add(
        self,
        refs: Iterable[Target],
        *,
        until_ms: float | None = None,
        name: ActionName = ActionName.HELD,
        **who: Unpack[Who],
    ) -> list[tuple[Target, str]]:
        """Hold jobs, asked for or not. Results: see `lua/hold.lua`. name: held, or imported."""
        return self._ledger.results("hold", lean({"until": until_ms}) | explained(name, who), refs)

    def add_user(
        self, app_user: str, *, until_ms: float | None = None, every: bool = False, **who: Unpack[Who]
    ) -> None:
        """Hold every job of an app user. What waits is held when an executor would take it.

        every: it was said of all accounts, so one that is used for the first time later has it too.
        """
        user = self._ledger.users.hashed(app_user)
        options = lean({"until": until_ms, "user": user, "every": every})
        self._ledger.run_script("hold", options | explained(ActionName.HELD, who, user=user))

    def adopt(self, users: Mapping[str, dict[str, Any]]) -> None:
        """Take over holds of app users, by their hashes, as `stored` has them. Of two the longer one stays."""
        holds = ([user, json.dumps(entry), entry.get("until") or False] for user, entry in users.items())
        for batch in batches(holds, BATCH):
            self._ledger.run_script("adopt", {"holds": batch})

    # -- removing ----------------------------------------------------------------------------------------------------

    def remove(self, refs: Iterable[Target], **who: Unpack[Who]) -> list[tuple[Target, str]]:
        """Remove the holds of jobs. Results: see `lua/release.lua`."""
        return self._ledger.results("release", {"jobs": True} | explained(ActionName.RELEASED, who), refs)

    def remove_user(self, app_user: str, **who: Unpack[Who]) -> tuple[bool, int]:
        """Remove the hold of an app user: whether there was one, and how many deletions go on."""
        user = self._ledger.users.hashed(app_user)
        fields = explained(ActionName.RELEASED, who, user=user)
        response = self._ledger.run_script("release", {"user": user} | fields)
        return response["users"] > 0, self._release_what_is_free(fields, [f"u {user}"])

    def release_in_time(self) -> int:
        """What time alone has freed: holds that ended, and jobs whose app user may be asked for again."""
        freed, more, reason = 0, True, {"why": "the hold ended", "in_time": True}
        while more:
            response = self._ledger.run_script("release", {"ended": True} | reason)
            freed, more = freed + response["freed"], response.get("more", False)
            if ended := response.get("look_through"):
                freed += self._release_what_is_free(reason, ended)
        return freed

    def _release_what_is_free(self, reason: dict[str, Any], ended: list[str]) -> int:
        """Go through everything that is held, after these holds of app users ended."""
        refs = values.targets(read_redis(self._client.zrange, self._p + Key.HELD, 0, -1))
        freed = sum(int(response["freed"]) for _, response in self._ledger.in_batches("release", reason, refs))
        self._ledger.run_script("release", {"looked_through": ended})
        return freed

    # -- reading -----------------------------------------------------------------------------------------------------

    def each(self) -> Iterator[Hold]:
        """Every hold, those of app users first."""
        for user, entry in self._entries(Key.HELD_USERS):
            yield _hold(None, user, entry)
        for ref, entry in self._entries(Key.HELD_JOBS):
            yield _hold(Target.parse(ref), None, entry)

    def of(self, ref: Target) -> Hold | None:
        """The hold of one job by its id."""
        entry: Any = read_redis(self._client.hget, self._p + Key.HELD_JOBS, str(ref))
        return _hold(ref, None, entry) if entry else None

    def now(self) -> OnHold:
        """Everything that is on hold."""
        jobs, users = (read_redis(self._client.hkeys, self._p + key) for key in (Key.HELD_JOBS, Key.HELD_USERS))
        return OnHold(frozenset(values.targets(jobs)), frozenset(values.names(users)))

    def stored(self) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]]]:
        """What is stored of each hold: of jobs by their refs, of app users by their hashes."""
        jobs, users = (dict(self._entries(key)) for key in (Key.HELD_JOBS, Key.HELD_USERS))
        return (
            {ref: values.fields(entry) for ref, entry in jobs.items()},
            {user: values.fields(entry) for user, entry in users.items()},
        )

    def _entries(self, name: str) -> Iterator[tuple[str, bytes]]:
        for member, entry in scanned(self._client.hscan_iter(self._p + name, count=BATCH)):
            yield member.decode(errors="replace"), entry


def _hold(ref: Target | None, user: str | None, entry: bytes) -> Hold:
    fields = values.fields(entry)  # a hold of which nothing else can be read is one all the same
    why, by = (str(fields.get(name, "")) for name in ("why", "by"))
    return Hold(ref, user, why, by, values.number(fields.get("at")) or 0, values.number(fields.get("until")))
