"""Every name of ours in Redis and at the broker that is not inside one account: the only place that writes the prefix.

Installations with different namespaces live side by side in one Redis database and at one broker.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from worker.config.namespace import NAMESPACE


class KeyName:
    """A name that begins with the namespace."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern

    def __get__(self, keys: Keys, _: type) -> str:
        return self._pattern.format(keys.namespace)


@dataclass(frozen=True, slots=True)
class Keys:
    """The names of one installation."""

    namespace: str = NAMESPACE

    def account(self, name: str) -> str:
        """What all keys of one account begin with; in a cluster they share a slot (see `lua/_account.lua`)."""
        return f"{self.namespace}:{{{name}}}:"

    def key(self, record: str) -> str:
        """The record of one key of MetaStudio's or one IAM user, by its hash (see `ledger/lua/key.lua`)."""
        return f"{self.namespace}:{{key:{record}}}"

    # -- keys ----------------------------------------------------------------------------------------------------------

    workers = KeyName("{0}:workers")  # Sorted set: worker id, Redis time (ms) of its last beat.
    worker_info = KeyName("{0}:worker-info")  # Hash: worker id, what `eraser status` shows of it.
    # Sorted set: account, Redis time (ms) when somebody should look; a hint, never the truth.
    wakeups = KeyName("{0}:wakeups")
    # Sorted set: accounts that need an executor at once: every dispatcher waits for the next one.
    wake_now = KeyName("{{{0}:wakeups}}:now")
    # The worker that looks for work, for as long as it says so; one slot of a cluster with the wake-ups.
    dispatcher = KeyName("{{{0}:wakeups}}:dispatcher")
    # Hash: `at` (ms, of the last tick of the retention schedule), `problem` (why nothing can be run).
    schedule = KeyName("{0}:schedule")
    # Hash: account and group, when the group was last replayed (ms); for people only.
    replays = KeyName("{0}:replays")
    # What the keys of parked messages begin with; in a cluster they share a slot (see `lua/park.lua`).
    parked = KeyName("{{{0}:parked}}:")
    # Set: every account that was ever used, whatever the settings say now.
    accounts = KeyName("{0}:accounts")
    # Hash: project, the account in which its deletions and holds lie (see `worker.ledger.places`).
    projects = KeyName("{0}:projects")
    # Hash: project, JSON of the accounts where it was before it was moved, and until when.
    past_homes = KeyName("{0}:projects:past")
    # The secret by which app users are hashed: one for all accounts, so that a hold moves with its project.
    app_users = KeyName("{0}:app-users:key")
    # Hash: name of an endpoint of webhooks that the console made, its JSON (see `worker.ledger.endpoints`).
    endpoints = KeyName("{0}:endpoints")

    def session(self, id_: str) -> str:
        """A signed-in browser. The id's hash: that whoever reads Redis cannot become somebody else."""
        return f"{self.namespace}:console:session:{hashlib.sha256(id_.encode()).hexdigest()}"

    def link(self, word: str) -> str:
        """A one-time link to the console, likewise by its hash."""
        return f"{self.namespace}:console:link:{hashlib.sha256(word.encode()).hexdigest()}"

    def tries(self, address: str) -> str:
        """How often an address tried to sign in."""
        return f"{self.namespace}:console:tries:{hashlib.sha256(address.encode()).hexdigest()[:16]}"

    # -- at the broker -------------------------------------------------------------------------------------------------

    requests = KeyName("{0}")  # The queue on which producers enqueue `eraser.delete`.
    # The queue of wake-ups: one apart, so that a pile of requests delays no executor.
    wakeup_queue = KeyName("{0}.wakeups")
    # The exchange of `celery inspect` and `celery control`, so that nobody stops another application's workers.
    control = KeyName("{0}")
    events = KeyName("{0}.events")  # The exchange of Celery's events.


OURS = Keys()
