"""Where each project's deletions and holds lie: in one account at a time, whatever the settings of a process say.

The register (one hash outside of all accounts) names the home of each project. It is changed by comparing, so of two
processes with different settings only one has it. An account's own `projects` (see `lua/_places.lua`) says in its slot,
where every move can see it, that a project is here: only then is anything recorded, held or replayed.

    nobody has it    HOME         the first who asks for something; then it is `here` in HOME
    HOME             OTHER        the settings of somebody say so, and nothing of it is left in HOME
    HOME             HOME>OTHER   `eraser accounts move`: `moving` in both, until all of it is in OTHER
    HOME>OTHER       OTHER        nothing of it is left in HOME

A process whose settings give a project to another account than its home does nothing with it. It stops nobody else: a
process without ERASER_CONFIG, say, is wrong about every project.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import redis

from worker.ledger import scripts
from worker.ledger.archived import ArchivedRecords
from worker.ledger.deletions import Ledger
from worker.ledger.keys import OURS, Keys
from worker.ledger.project_moves import adopt_user_holds
from worker.ledger.redis_read import read_redis, scanned
from worker.ledger.schema.keys import Key
from worker.ledger.schema.states import indexes
from worker.model.errors import ProjectElsewhere, SettingsError

PAGE = 1000


@dataclass(frozen=True, slots=True)
class Home:
    """What the register says of a project."""

    account: str
    to: str | None = None  # it is being moved there

    @classmethod
    def parse(cls, text: str) -> Home:
        account, _, to = text.partition(">")
        return cls(account, to or None)

    def __str__(self) -> str:
        return f"{self.account}>{self.to}" if self.to else self.account


class Places:
    """The register, and the marks in the accounts. Thread-safe. Raises `Unreachable` when Redis does not answer.

    account_of: the account that the settings of this process give a project to; raises `SettingsError` for none.
    """

    def __init__(
        self, client: redis.Redis, account_of: Callable[[str], str], ledger: Callable[[str], Ledger], keys: Keys = OURS
    ) -> None:
        self._client = client
        self._account_of = account_of
        self._ledger = ledger
        self._keys = keys

    # -- reading -------------------------------------------------------------------------------------------------------

    def accounts(self) -> set[str]:
        """Every account that was ever used, whatever the settings say now."""
        names: Any = read_redis(self._client.smembers, self._keys.accounts)
        return {account.decode() for account in names}

    def homes(self) -> dict[str, Home]:
        """Every project that was ever asked for."""
        raw: Any = read_redis(self._client.hgetall, self._keys.projects)
        return {project.decode(): Home.parse(text.decode()) for project, text in raw.items()}

    def home(self, project: str) -> Home | None:
        """One project's home; None: nobody ever asked for anything there."""
        text: Any = read_redis(self._client.hget, self._keys.projects, project)
        return Home.parse(text.decode()) if text else None

    def strays(self) -> dict[str, Home]:
        """Projects whose home is not where the settings have them, as far as anything of them lies there."""
        return {
            project: home
            for project, home in self.homes().items()
            if home.to or (not self.is_ours(project, home.account) and self.holds_any(home.account, project))
        }

    def is_ours(self, project: str, account: str) -> bool:
        """Whether the settings of this process give the project to this account."""
        try:
            return self._account_of(project) == account
        except SettingsError:
            return False

    def holds_any(self, account: str, project: str) -> bool:
        """Whether the account has a record or a hold of the project."""
        return next(self.members(account, project), None) is not None

    def members(self, account: str, project: str) -> Iterator[str]:
        """The refs of every record and hold of a project in an account; one that moves on meanwhile may come twice."""
        prefix, match = self._keys.account(account), f"{project}/*"
        for index in indexes():
            for member, _ in scanned(self._client.zscan_iter(prefix + index, match=match, count=PAGE)):
                yield member.decode()
        yield from self.holds(account, project)
        archived = ArchivedRecords(self._client, account, self._keys)
        if project in archived.counts():
            yield from (str(ref) for _, ref, _ in archived.each(project))

    def holds(self, account: str, project: str) -> Iterator[str]:
        """The refs of every job of a project that is on hold in an account, asked for or not."""
        name = self._keys.account(account) + Key.HELD_JOBS
        for member, _ in scanned(self._client.hscan_iter(name, match=f"{project}/*", count=PAGE)):
            yield member.decode()

    # -- accounts ------------------------------------------------------------------------------------------------------

    def introduce(self, account: str) -> None:
        """An account that is used for the first time has the holds of app users that were said of all accounts."""
        known = self.accounts()
        if account not in known:
            for other in known:
                adopt_user_holds(self._ledger(other), self._ledger(account), every=True)
            read_redis(self._client.sadd, self._keys.accounts, account)

    # -- who may act ---------------------------------------------------------------------------------------------------

    def claim(self, project: str, account: str) -> None:
        """Let the account have the project, if the settings say so and nothing of it lies elsewhere.

        Raises `ProjectElsewhere`, and `SettingsError` for a project of no account.
        """
        ours = self._account_of(project)
        ledger = self._ledger(ours)
        self.introduce(ours)
        while True:
            mark = ledger.place_now(project)  # before the register is read: a move in between changes it
            home = self.home(project) or self._register(project, None, Home(ours))
            if home.to is None and home.account != ours:
                home = self._take_over(project, home, ours)
            if home != Home(ours) or account != ours:
                raise ProjectElsewhere(project, home=home.account, ours=home.to or ours, moving=home.to is not None)
            if ledger.place(project, "here", expect=mark):
                return

    def check(self, projects: Iterable[str], account: str) -> None:
        """Raise `ProjectElsewhere` unless all of them belong to the account, and nothing of them lies elsewhere."""
        for project in dict.fromkeys(projects):
            ours, home = self._account_of(project), self.home(project) or Home(account)
            if home.to is not None:
                raise ProjectElsewhere(project, home=home.account, ours=home.to, moving=True)
            if ours != account or (home.account != ours and self.holds_any(home.account, project)):
                raise ProjectElsewhere(project, home=home.account, ours=ours)

    def _take_over(self, project: str, home: Home, ours: str) -> Home:
        """Where its home has nothing of it any more another account may have it."""
        source = self._ledger(home.account)
        if self.holds_any(home.account, project):
            return home
        source.place(project, "leaving")  # whoever begins something there asks the register again
        if self.holds_any(home.account, project) or not source.place(project, "moved", expect="leaving"):
            return self.home(project) or home
        return self._register(project, home, Home(ours))

    # -- moving --------------------------------------------------------------------------------------------------------

    def begin_move(self, project: str, to: str) -> str:
        """From now on nothing is done with the project, in either account. Returns the one that it leaves.

        Raises `ProjectElsewhere` where it is being moved to yet another one.
        """
        home = self.home(project)
        while home is not None and home.to is None and home.account != to:
            home = self._register(project, home, Home(home.account, to=to))
        if home is None or home.to != to:
            raise ProjectElsewhere(project, home=home.account if home else to, ours=home.to or to if home else to)
        self._ledger(home.account).place(project, "moving")
        self._ledger(to).place(project, "moving")
        return home.account

    def end_move(self, project: str, source: str, to: str, now_ms: float) -> bool:
        """All of it is there: let it go on. False: something of it is still where it was."""
        if self.holds_any(source, project):
            return False
        self._ledger(source).place(project, "moved", expect="moving")
        past = self.past(project)
        if not past or past[-1][0] != source:  # else whoever began to end it was interrupted
            read_redis(self._client.hset, self._keys.past_homes, project, json.dumps([*past, [source, now_ms]]))
        self._ledger(to).place(project, "here", expect="moving")
        self._register(project, Home(source, to=to), Home(to))
        return True

    def past(self, project: str) -> list[tuple[str, float]]:
        """Accounts in which the project was before, and until when (ms since 1970): their receipts stay there."""
        text: Any = read_redis(self._client.hget, self._keys.past_homes, project)
        return [(account, until) for account, until in json.loads(text)] if text else []

    def _register(self, project: str, was: Home | None, now: Home) -> Home:
        """Change the register if it still says what was read. Returns what it says now."""
        args = (project, str(was) if was else "", str(now))
        home = read_redis(scripts.load("register").run, self._client, self._keys.projects, *args)
        return Home.parse(home.decode())
