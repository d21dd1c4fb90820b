"""Carries a project's records and holds to another account: written down there first, then let go of here.

Stopped at any moment, it is done again from the start: what is there already is written once more, as it is here. Until
all of it is there nothing of the project is taken in either account (see `worker.ledger.places`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from worker.ledger import scripts
from worker.ledger.deletions import BATCH, Ledger
from worker.ledger.redis_read import read_redis
from worker.ledger.schema.keys import Key
from worker.model.shares import batches
from worker.model.target import Target

AT_ONCE = 100  # records with their histories: as long a script as 500 without


def carry(source: Ledger, target: Ledger, project: str, refs: Iterable[str], action: dict[str, Any]) -> Iterator[int]:
    """Carry each; yields how many more have left. What changed meanwhile stays for the next time, and calls under way.

    Raises `Unreachable` when Redis does not answer.
    """
    for batch in batches(dict.fromkeys(refs), AT_ONCE):
        found: list[dict[str, Any]] = json.loads(
            read_redis(scripts.load("pack").run, source.client, source.prefix, *batch)
        )
        ready = [
            (Target.parse(ref), one) for ref, one in zip(batch, found, strict=True) if one.get("state") != "running"
        ]
        if not ready:
            continue
        named, packed = [ref for ref, _ in ready], [one for _, one in ready]
        fields = {"project": project, "act": action}
        there = target.run_script("deliver", fields | {"from": source.account, "packed": packed}, named)
        if there["done"]:
            yield source.run_script("depart", fields | {"seals": [one["seal"] for one in packed]}, named)["gone"]


def adopt_users(source: Ledger, target: Ledger, project: str) -> None:
    """What is known of a project's app users: that there are some, and which of them are on hold."""
    if source.users.known_in(project):
        target.users.note_in(project)
    adopt_user_holds(source, target)


def adopt_user_holds(source: Ledger, target: Ledger, *, every: bool = False) -> int:
    """Let the app users that are on hold in one account be so in the other, too. Returns how many are new there.

    every: only those that were put on hold in every account.
    """
    users: Any = read_redis(source.client.hgetall, source.prefix + Key.HELD_USERS)
    holds = [
        [
            user.decode(),
            entry.decode(),
            read_redis(source.client.zscore, source.prefix + Key.HOLD_ENDS, b"u " + user) or False,
        ]
        for user, entry in users.items()
        if not every or json.loads(entry).get("every")
    ]
    return sum(int(target.run_script("adopt", {"holds": batch})["adopted"]) for batch in batches(holds, BATCH))
