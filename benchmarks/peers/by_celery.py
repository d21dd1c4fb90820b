"""Plain Celery: `celery -A benchmarks.peers.by_celery worker`; run as a module it sends a task a deletion."""

from __future__ import annotations

from celery import Celery

from benchmarks import peers
from worker.config.redis_urls import broker_form

app = Celery("plain", broker=broker_form(peers.REDIS), set_as_current=False)
app.conf.update(task_acks_late=True, task_ignore_result=True, worker_prefetch_multiplier=4)


@app.task
def delete(job: str) -> None:
    peers.delete_in_this_thread(job)


if __name__ == "__main__":
    with app.producer_pool.acquire(block=True) as producer:
        for job in peers.JOBS:
            app.send_task("benchmarks.peers.by_celery.delete", [job], producer=producer, ignore_result=True)
