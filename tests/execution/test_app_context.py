"""What one process needs, put together for many accounts."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.waiting import wait_until
from worker.execution.app_context import AppContext
from worker.execution.key_budget import KeyBlocked
from worker.simulator import DEMO_AK, DEMO_DOMAIN, DEMO_PROJECT, DEMO_SK, DEMO_USER, Simulator


def test_one_of_hundreds_of_accounts_keeps_two_connections(tmp_path: Path, redis_url: str) -> None:
    """Each kept as many as it ever needed at once, closed by the server or not: a process may have 1024 files."""
    with Simulator(latency_s=0.1) as simulator:
        config = tmp_path / "accounts.toml"
        account = '[accounts.a{0}]\nendpoint = "{1}"\nprojects = ["p{0}"]\nak_env = "AK"\nsk_env = "SK"\n'
        config.write_text("".join(account.format(n, simulator.url) for n in range(300)))
        known = {"ERASER_CONFIG": str(config), "AK": DEMO_AK, "SK": DEMO_SK, "ERASER_REDIS_URL": redis_url}
        client, _ = AppContext.load(known).client("a7")
        client.list(DEMO_PROJECT)  # the key is good
        before = open_files()
        with ThreadPoolExecutor(12) as pool:
            statuses = list(pool.map(lambda _: client.list(DEMO_PROJECT).response.status, range(24)))
        assert statuses == [200] * 24
        wait_until(lambda: open_files() - before < 12, what="few connections, and the simulator's ends of them")
        client.close()


def test_accounts_of_one_login_try_its_password_once(tmp_path: Path, redis_url: str) -> None:
    """The environment's login goes with every account; five wrong passwords lock the user."""
    with Simulator() as simulator:
        config = tmp_path / "accounts.toml"
        config.write_text("".join(f'[accounts.a{n}]\nprojects = ["p{n}"]\n' for n in range(7)))
        known = {"ERASER_CONFIG": str(config), "ERASER_ENDPOINT": simulator.url, "ERASER_REDIS_URL": redis_url}
        login = {"ERASER_IAM_USER": DEMO_USER, "ERASER_IAM_DOMAIN": DEMO_DOMAIN, "ERASER_IAM_PASSWORD": "wrong"}
        app = AppContext.load(known | login | {"HUAWEICLOUD_SDK_IAM_ENDPOINT": simulator.url})
        response = app.client("a0")[0].list("p0").response
        assert (response.status, response.of_iam) == (401, True)
        for n in range(1, 7):
            with pytest.raises(KeyBlocked, match="the key was refused"):
                app.client(f"a{n}")[0].list(f"p{n}")
        assert simulator.stats()["by_operation"] == {"token": 1}


def open_files() -> int:
    return len(os.listdir("/dev/fd"))
