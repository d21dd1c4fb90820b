"""Webhooks under trouble, beside an installation without any: does each event arrive, and what does it cost the rate?

    python -m benchmarks.webhooks [--ends 10000] [--rate 60]

Two installations run at the same time, each with its own Redis, MetaStudio and two workers, and delete as much at the
same pace. One has three endpoints: a receiver that verifies with the `standardwebhooks` package and is killed, slow and
well in turn; one that never answers; one where nobody listens. For the first half the rates are compared; in the second
workers of both are killed with -9, one after the other.
"""

from __future__ import annotations

import itertools
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import click

from tests.acceptance.fleet import BYSTANDER, IMPATIENT, Fleet
from tests.support.webhook_receiver import Receiver
from worker.ledger.deliveries import Deliveries
from worker.ledger.types import DeletionRequest
from worker.model.target import Target
from worker.services.request import record
from worker.simulator import DEMO_PROJECT

TROUBLE_S = 4.0  # how long the receiver is in each of its moods
KILL_EVERY_S = 8.0
SCHEDULE = "0.5s,1s,2s,4s," + ",".join(["5s"] * 20)  # longer than any trouble here


def started(stack: ExitStack, ends: int, rate: float, config: str) -> Fleet:
    """An installation with so much to delete, and two workers at work."""
    settings = IMPATIENT | {"ERASER_RATE": f"{rate:g}", "ERASER_RETRY_SCHEDULE": SCHEDULE}
    simulator = ("--latency", "0.05", "--keep-calls", "100")
    application = "tests.acceptance.quick_webhooks"
    fleet = stack.enter_context(Fleet(settings=settings, simulator=simulator, config=config, application=application))
    fleet.adds_up = False
    fleet.plant(BYSTANDER)
    fleet.metastudio.fill(ends, project=DEMO_PROJECT)
    fleet.start_workers(2, "-l", "WARNING")
    return fleet


def troubled(receiver: Receiver, over: threading.Event) -> None:
    """Killed, slow, well, refusing, and again."""
    for mood in itertools.cycle(("well", "killed", "slow", "refuses")):
        if mood == "killed":
            receiver.kill()
        receiver.delay_s = 0.5 if mood == "slow" else 0.0
        receiver.status = 503 if mood == "refuses" else 204
        ended = over.wait(TROUBLE_S)
        if mood == "killed":
            receiver.start()
        if ended:
            receiver.delay_s, receiver.status = 0.0, 204
            return


def effects(fleet: Fleet) -> int:
    return int(fleet.metastudio.stats()["effects"])


def compared(fleets: list[Fleet], until: int) -> list[float]:
    """The rate of each over the same time, until the slower one has done so much."""
    first, began = [effects(fleet) for fleet in fleets], time.monotonic()
    while min(map(effects, fleets)) < until:
        time.sleep(0.1)
    last, took = [effects(fleet) for fleet in fleets], time.monotonic() - began
    return [(after - before) / took for before, after in zip(first, last, strict=True)]


@click.command()
@click.option("--ends", default=10_000, show_default=True, help="Deletions of each installation.")
@click.option("--rate", default=60.0, show_default=True, help="Calls a second of each.")
def main(ends: int, rate: float) -> None:
    """Measure webhooks under trouble."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        receiver = stack.enter_context(Receiver())
        silent = stack.enter_context(Receiver(delay_s=3600))
        nobody = Receiver(port=1)
        tables = (receiver.toml(folder), silent.toml(folder, "silent"), nobody.toml(folder, "nobody"))
        notifying = started(stack, ends, rate, "[accounts.default]\n" + "".join(tables))
        plain = started(stack, ends, rate, "[accounts.default]\n")
        fleets, over = [notifying, plain], threading.Event()
        jobs = [Target(DEMO_PROJECT, f"job-{n:05d}") for n in range(1, ends + 1)]
        for fleet in fleets:
            list(record(fleet.app, jobs, DeletionRequest()))
        for fleet in fleets:
            fleet.wait(lambda fleet=fleet: effects(fleet) > ends // 20, "it is at its pace")
        threading.Thread(target=troubled, args=(receiver, over), daemon=True).start()
        with_webhooks, without = compared(fleets, ends // 2)
        click.echo(
            f"{ends:,} ends each at {rate:g}/s: with webhooks {with_webhooks:.2f}/s, without {without:.2f}/s, "
            f"{with_webhooks / without - 1:+.2%}"
        )
        kills = 0
        while min(fleet.settled() for fleet in fleets) < ends:
            for fleet in fleets:
                fleet.workers[kills % 2].kill()
                fleet.workers[kills % 2] = fleet.start_worker("-l", "WARNING")
                fleet.workers.pop()
            kills += 1
            deadline = time.monotonic() + KILL_EVERY_S
            while time.monotonic() < deadline and min(fleet.settled() for fleet in fleets) < ends:
                time.sleep(0.1)
        over.set()
        log = Deliveries(notifying.app.redis, "default", notifying.app.keys)
        names = {target.id for target in jobs}
        notifying.wait(lambda: {one["data"]["id"] for one in list(receiver.messages)} >= names, "each event arrives")
        ids = {one["id"] for one in receiver.messages}
        counts = {one.endpoint: one for one in log.counts(notifying.queries.now_ms())}
        crm = counts["crm"]
        click.echo(
            f"{kills} workers of each killed -9: {len(names):,} jobs, {crm.totals['made']:,} events, "
            f"{len(ids):,} arrived, "
            f"{len(receiver.messages) - len(ids):,} again, {len(receiver.wrong)} with a wrong signature; "
            f"{crm.totals.get('failed', 0):,} attempts failed, {crm.dead} are dead"
        )


if __name__ == "__main__":
    main()
