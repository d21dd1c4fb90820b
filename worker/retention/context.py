"""What retention needs of the process that it runs in. The application as it is wired has all of it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime
from typing import Protocol

import redis

from worker.config.settings import Settings
from worker.ledger.bulk_queries import BulkQueries
from worker.ledger.deletions import Ledger
from worker.ledger.keys import Keys
from worker.ledger.places import Places
from worker.ledger.queries import Queries
from worker.metastudio.client import Client
from worker.retention.policy_file import PolicyFile


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
    def policies(self) -> PolicyFile: ...

    @property
    def places(self) -> Places: ...

    def check_ledger(self) -> None: ...

    def ledger(self, account: str, /) -> Ledger: ...

    def queries(self, account: str, /) -> Queries: ...

    def bulk_queries(self, account: str, /) -> BulkQueries: ...

    def client(self, account: str, /) -> tuple[Client, Callable[[], str]]: ...

    def wake(self, account: str, at_ms: float, /) -> None: ...
