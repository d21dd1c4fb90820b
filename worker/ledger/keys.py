"""Every name of ours in Redis and at the broker that is not inside one account: the only place that writes the prefix.

Installations with different namespaces live side by side in one Redis database and at one broker.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from worker.config.namespace import NAMESPACE


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

    @property
    def workers(self) -> str:
        """Sorted set: worker id, Redis time (ms) of its last beat."""
        return f"{self.namespace}:workers"

    @property
    def worker_info(self) -> str:
        """Hash: worker id, what `eraser status` shows of it."""
        return f"{self.namespace}:worker-info"

    @property
    def wakeups(self) -> str:
        """Sorted set: account, Redis time (ms) when somebody should look; a hint, never the truth."""
        return f"{self.namespace}:wakeups"

    @property
    def wake_now(self) -> str:
        """Sorted set: accounts that need an executor at once: every dispatcher waits for the next one."""
        return f"{{{self.wakeups}}}:now"

    @property
    def dispatcher(self) -> str:
        """The worker that looks for work, for as long as it says so; one slot of a cluster with the wake-ups."""
        return f"{{{self.wakeups}}}:dispatcher"

    @property
    def schedule(self) -> str:
        """Hash: `at` (ms, of the last tick of the retention schedule), `problem` (why nothing can be run)."""
        return f"{self.namespace}:schedule"

    @property
    def replays(self) -> str:
        """Hash: account and group, when the group was last replayed (ms); for people only."""
        return f"{self.namespace}:replays"

    @property
    def parked(self) -> str:
        """What the keys of parked messages begin with; in a cluster they share a slot (see `lua/park.lua`)."""
        return f"{{{self.namespace}:parked}}:"

    @property
    def accounts(self) -> str:
        """Set: every account that was ever used, whatever the settings say now."""
        return f"{self.namespace}:accounts"

    @property
    def projects(self) -> str:
        """Hash: project, the account in which its deletions and holds lie (see `worker.ledger.places`)."""
        return f"{self.namespace}:projects"

    @property
    def past_homes(self) -> str:
        """Hash: project, JSON of the accounts where it was before it was moved, and until when."""
        return f"{self.namespace}:projects:past"

    @property
    def app_users(self) -> str:
        """The secret by which app users are hashed: one for all accounts, so that a hold moves with its project."""
        return f"{self.namespace}:app-users:key"

    def session(self, id_: str) -> str:
        """A signed-in browser. The id's hash: that whoever reads Redis cannot become somebody else."""
        return f"{self.namespace}:console:session:{hashlib.sha256(id_.encode()).hexdigest()}"

    def tries(self, address: str) -> str:
        """How often an address tried to sign in."""
        return f"{self.namespace}:console:tries:{hashlib.sha256(address.encode()).hexdigest()[:16]}"

    # -- at the broker -------------------------------------------------------------------------------------------------

    @property
    def requests(self) -> str:
        """The queue on which producers enqueue `eraser.delete`."""
        return self.namespace

    @property
    def wakeup_queue(self) -> str:
        """The queue of wake-ups: one apart, so that a pile of requests delays no executor."""
        return f"{self.namespace}.wakeups"

    @property
    def control(self) -> str:
        """The exchange of `celery inspect` and `celery control`, so that nobody stops another application's workers."""
        return self.namespace

    @property
    def events(self) -> str:
        """The exchange of Celery's events."""
        return f"{self.namespace}.events"


OURS = Keys()
