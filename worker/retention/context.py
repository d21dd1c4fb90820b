"""What retention needs of the process that it runs in. The application as it is wired has all of it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime
from typing import Protocol

import redis

from worker.keys import Keys
from worker.ledger.glance import Glance
from worker.ledger.places import Places
from worker.ledger.read import ReadModel
from worker.ledger.store import Ledger
from worker.metastudio.client import Client
from worker.retention.book import PolicyBook
from worker.settings import Settings


class RetentionContext(Protocol):
    """Settings, policies, and the way to Redis and to MetaStudio."""

    @property
    def settings(self) -> Settings: ...

    @property
    def stopping(self) -> threading.Event: ...

    @property
    def now(self) -> Callable[[], datetime]: ...

    @property
    def redis(self) -> redis.Redis: ...

    @property
    def keys(self) -> Keys: ...

    @property
    def policies(self) -> PolicyBook: ...

    @property
    def places(self) -> Places: ...

    def check_endpoints(self) -> None: ...

    def ledger(self, account: str, /) -> Ledger: ...

    def reads(self, account: str, /) -> ReadModel: ...

    def glance(self, account: str, /) -> Glance: ...

    def client(self, account: str, /) -> tuple[Client, Callable[[], str]]: ...

    def wake(self, account: str, at_ms: float, /) -> None: ...
