"""The same deletions as others would make them, each in its own way; all but the SDK sign with our signer.

`COST_JOBS` says how many there are; the simulator, its key and Redis come from the settings that ours reads too.
"""

from __future__ import annotations

import os
import threading

import requests

from worker.metastudio.credentials import Credentials
from worker.metastudio.signing import SdkHmacSha256

THREADS = 32
ENDPOINT = os.environ["ERASER_ENDPOINT"]
REDIS = os.environ["ERASER_REDIS_URL"]
PROJECT = os.environ["HUAWEICLOUD_SDK_PROJECT_ID"]
KEY, SECRET = os.environ["HUAWEICLOUD_SDK_AK"], os.environ["HUAWEICLOUD_SDK_SK"]
JOBS = [f"job-{n:05d}" for n in range(1, int(os.environ["COST_JOBS"]) + 1)]

_JOBS_URL = f"{ENDPOINT}/v1/{PROJECT}/digital-human-training-manage/user/jobs"
_mine = threading.local()


def new_session() -> requests.Session:
    session = requests.Session()
    session.trust_env = False  # 17 % cheaper; a netrc would replace the signature anyway
    session.auth = SdkHmacSha256(Credentials(KEY, SECRET, project_id=PROJECT))
    return session


def delete(session: requests.Session, job: str) -> None:
    session.delete(f"{_JOBS_URL}/{job}", timeout=(5, 30)).raise_for_status()


def delete_in_this_thread(job: str) -> None:
    """With this thread's own session, as `requests` advises."""
    if not hasattr(_mine, "session"):
        _mine.session = new_session()
    delete(_mine.session, job)
