"""Dramatiq, one message a deletion: `dramatiq benchmarks.peers.by_dramatiq`; run as a module it sends the messages."""

from __future__ import annotations

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from benchmarks import peers

dramatiq.set_broker(RedisBroker(url=peers.REDIS))


@dramatiq.actor
def delete(job: str) -> None:
    peers.delete_in_this_thread(job)


if __name__ == "__main__":
    for job in peers.JOBS:
        delete.send(job)
