"""RabbitMQ as the broker beside a ledger in Redis: messages of producers, wake-ups, and a broker that is away."""

from __future__ import annotations

import json

from tests.acceptance.fleet import Fleet
from tests.acceptance.judge import judge
from tests.support.rabbitmq import RabbitMq
from worker.ledger.keys import OURS
from worker.model.states import Lane, State
from worker.simulator import DEMO_PROJECT

JOBS = [f"job-{n:03d}" for n in range(120)]


def test_deletions_go_their_way_through_rabbitmq_also_when_it_was_killed() -> None:
    with RabbitMq() as broker, Fleet(settings={"ERASER_BROKER_URL": broker.url}) as fleet:
        fleet.plant(*JOBS)
        workers = fleet.start_workers(2)
        with fleet.producer() as app:
            for job in JOBS[:40]:
                app.send_task("eraser.delete", args=[DEMO_PROJECT, job], queue=OURS.requests)
        fleet.ask(*JOBS[40:60], lane=Lane.USER)
        fleet.wait_until_settled(60)
        checks = {
            line["check"]: line
            for line in map(json.loads, fleet.command("doctor", "--offline", "--json").stdout.splitlines())
        }
        assert checks["broker"]["verdict"] == "ok"
        assert "guest:guest" not in json.dumps(checks)
        assert checks["foreign workers"]["verdict"] == "ok"

        broker.kill()
        fleet.ask(*JOBS[60:80])  # recorded, although nobody can be woken
        broker.start()
        fleet.wait_until_settled(80)
        workers[0].kill()
        with fleet.producer() as app:
            for job in JOBS[80:100]:
                app.send_task("eraser.delete", args=[DEMO_PROJECT, job], queue=OURS.requests)
        fleet.ask(*JOBS[100:])
        fleet.wait_until_settled(len(JOBS))
        assert fleet.states() == {State.DELETED: len(JOBS)}
        assert workers[1].alive
        judge(fleet, JOBS)
