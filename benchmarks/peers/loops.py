"""`python -m benchmarks.peers.loops bare|pool|sdk`: no queue, no record, no second attempt."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

from benchmarks import peers


def bare() -> None:
    session = peers.new_session()
    for job in peers.JOBS:
        peers.delete(session, job)


def pool() -> None:
    with ThreadPoolExecutor(peers.THREADS) as threads:
        for _ in threads.map(peers.delete_in_this_thread, peers.JOBS):
            pass


def sdk() -> None:
    from huaweicloudsdkcore.auth.credentials import BasicCredentials
    from huaweicloudsdkcore.http.http_config import HttpConfig
    from huaweicloudsdkmetastudio.v1 import Delete2dModelTrainingJobRequest, MetaStudioClient

    config = HttpConfig.get_default_config()
    config.pool_maxsize = peers.THREADS
    key = BasicCredentials(peers.KEY, peers.SECRET, peers.PROJECT)
    builder = MetaStudioClient.new_builder().with_http_config(config).with_credentials(key)
    client = builder.with_endpoint(peers.ENDPOINT).build()

    def delete(job: str) -> None:
        client.delete2d_model_training_job(Delete2dModelTrainingJobRequest(job_id=job))

    with ThreadPoolExecutor(peers.THREADS) as threads:
        for _ in threads.map(delete, peers.JOBS):
            pass


if __name__ == "__main__":
    {"bare": bare, "pool": pool, "sdk": sdk}[sys.argv[1]]()
