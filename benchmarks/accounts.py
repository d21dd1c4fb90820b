"""Many accounts on one machine: each at its full pace, and all of them at rest.

    python -m benchmarks.accounts [--busy 50] [--seconds 60] [--idle 300]

Workers, Redis and the simulated MetaStudio (50 ms a call, a sliding one-second window of 10/s for each account) share
the machine's cores.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import click

from benchmarks.gate import EARNEST, RATE
from benchmarks.processes import commands_run, cpu_s, rss
from tests.acceptance.fleet import Fleet, Process
from worker.execution.app_context import AppContext
from worker.ledger.types import DeletionRequest
from worker.model.target import Target
from worker.services.request import record

REDIS_SHARE = 0.8  # of its core: what is left is for people, sweeps and failovers
WARM_S = 10.0  # starts, first probes, connections
_ACCOUNT = """
[accounts.tenant-{n:03d}]
endpoint = "{endpoint}"
rate = {rate}
projects = ["project-{n:03d}"]
ak_env = "HUAWEICLOUD_SDK_AK"
sk_env = "HUAWEICLOUD_SDK_SK"
"""


@contextmanager
def tenants(count: int, *words: str) -> Iterator[tuple[Fleet, dict[str, str], AppContext]]:
    """An installation with so many accounts of one project each, and the environment of its workers."""
    projects = [word for n in range(count) for word in ("--project", f"project-{n:03d}")]
    simulator = ("--keep-calls", "100", "--latency", "0.05", *projects, *words)
    with Fleet(settings=EARNEST | {"HUAWEICLOUD_SDK_PROJECT_ID": None}, simulator=simulator) as fleet:
        accounts = (_ACCOUNT.format(n=n, endpoint=fleet.metastudio.url, rate=RATE) for n in range(count))
        config = fleet.directory / "accounts.toml"
        config.write_text("".join(accounts), encoding="utf-8")
        env = fleet.env | {"ERASER_CONFIG": str(config)}
        del env["ERASER_ENDPOINT"]
        fleet.app = AppContext.load(env)  # it is judged by the ledgers of these accounts
        yield fleet, env, fleet.app


def start(fleet: Fleet, env: dict[str, str], workers: int, threads: int) -> list[Process]:
    started = [fleet.start_worker("-c", str(threads), "-l", "WARNING", env=env) for _ in range(workers)]
    fleet.wait(lambda: fleet.live_workers() == workers, f"{workers} workers say that they live")
    return started


def busy(accounts: int, seconds: float) -> str:
    """Each account has more to delete than the time allows."""
    each = int(RATE * (seconds + 3 * WARM_S))
    with tenants(accounts, "--delete-per-s", str(RATE)) as (fleet, env, app):
        for n in range(accounts):
            jobs = [f"job-{k:05d}" for k in range(1, each + 1)]
            fleet.metastudio.fill(each, project=f"project-{n:03d}")
            list(record(app, (Target(f"project-{n:03d}", job) for job in jobs), DeletionRequest()))
        threads = accounts * 2 // 3 + 2
        fleet.client.config_set("appendfsync", "everysec")
        workers, redis_pid = start(fleet, env, 2, threads), fleet.redis_server.pid
        assert redis_pid is not None
        fleet.wait(lambda: fleet.metastudio.stats()["effects"] > 0, "the first deletion")
        time.sleep(WARM_S)
        first, cpu, began = fleet.metastudio.stats(), [cpu_s(worker.pid) for worker in workers], time.monotonic()
        redis_s, ran = cpu_s(redis_pid), commands_run(fleet)
        time.sleep(seconds)
        last, took = fleet.metastudio.stats(), time.monotonic() - began
        used = sum(cpu_s(worker.pid) for worker in workers) - sum(cpu)
        redis_s, ran = cpu_s(redis_pid) - redis_s, commands_run(fleet) - ran
    done, responses = last["effects"] - first["effects"], last["total"] - first["total"]
    refused = int(last["by_status"].get("429", 0)) - int(first["by_status"].get("429", 0))
    return (
        f"{accounts} accounts at {RATE}/s, 2 workers of {threads} threads, {took:.0f} s: {done / took:.0f}/s, "
        f"{done / took / accounts / RATE:.1%} of the limits; {refused} of {responses} answers were 429 "
        f"({refused / responses:.2%}); {used / took:.2f} cores in the workers\n"
        f"Redis: {redis_s / done * 1e6:.0f} us and {ran / done:.1f} commands a deletion: its one core, used at "
        f"{REDIS_SHARE:.0%}, carries {REDIS_SHARE / (redis_s / done) / RATE:.0f} such accounts"
    )


def idle(accounts: int, seconds: float) -> str:
    """Three workers, nothing due anywhere."""
    with tenants(accounts) as (fleet, env, _):
        workers = start(fleet, env, 3, 16)
        time.sleep(WARM_S)
        cpu, before = [cpu_s(worker.pid) for worker in workers], commands_run(fleet)
        time.sleep(seconds)
        shares = [(cpu_s(worker.pid) - used) / seconds for worker, used in zip(workers, cpu, strict=True)]
        done = (commands_run(fleet) - before) / seconds
        resident = max(rss(worker.pid) for worker in workers)
    return (
        f"{accounts} accounts with nothing due, 3 workers, {seconds:.0f} s: {', '.join(f'{s:.2%}' for s in shares)} of "
        f"a core, {done:.0f} commands/s at Redis, {resident / 1e6:.0f} MB resident at most"
    )


@click.command()
@click.option("--busy", "at_work", default=50, show_default=True, help="Accounts at their full pace; 0 leaves it out.")
@click.option("--idle", "at_rest", default=300, show_default=True, help="Accounts at rest; 0 leaves it out.")
@click.option("--seconds", default=60.0, show_default=True)
def main(at_work: int, at_rest: int, seconds: float) -> None:
    """Measure many accounts in one fleet."""
    if at_work:
        click.echo(busy(at_work, seconds))
    if at_rest:
        click.echo(idle(at_rest, seconds))


if __name__ == "__main__":
    main()
