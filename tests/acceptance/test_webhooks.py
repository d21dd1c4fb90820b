"""Each event arrives at least once, signed, whoever is killed meanwhile: workers and the receiver, with -9."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from tests.acceptance.fleet import BYSTANDER, IMPATIENT, Fleet
from tests.support.webhook_receiver import Receiver
from worker.ledger.deliveries import Deliveries, DeliveryState
from worker.ledger.keys import OURS
from worker.ledger.parking import Parking
from worker.ledger.schema.keys import Key
from worker.simulator import DEMO_PROJECT
from worker.webhooks.signing import new_secret

ENDS = 200


def test_every_end_arrives_while_workers_and_the_receiver_are_killed(tmp_path: Path) -> None:
    jobs = [f"job-{n:03d}" for n in range(ENDS)]
    settings = {**IMPATIENT, "ERASER_RETRY_SCHEDULE": "0.2s,0.4s,0.8s,1s,1s,1s,1s,1s,1s,1s,2s,2s,2s,2s"}
    with Receiver(secrets=[new_secret(), new_secret()], delay_s=0.02) as receiver:
        config = f"[accounts.default]\n{receiver.toml(tmp_path)}"
        with Fleet(settings=settings, config=config, application="tests.acceptance.quick_webhooks") as fleet:
            fleet.plant(*jobs, BYSTANDER)
            crew = fleet.start_workers(2)
            fleet.ask(*jobs)

            def arrived(number: int) -> None:
                fleet.wait(
                    lambda: len({one["data"]["id"] for one in receiver.messages}) >= number, f"{number} events arrive"
                )

            arrived(ENDS // 4)
            crew[0].kill()
            fleet.start_worker()
            arrived(ENDS // 2)
            receiver.kill()
            fleet.wait_until_settled(len(jobs))  # nobody waits for the receiver
            receiver.start()
            crew[1].kill()
            arrived(ENDS)
            log = Deliveries(fleet.app.redis, "default", fleet.app.keys)
            fleet.wait(lambda: {one.state for one in log.newest()} == {DeliveryState.DELIVERED}, "all are delivered")
            secrets = [secret.encode() for secret in receiver.secrets]
            assert not any(secret in text.encode() for _, text in fleet.everything_ever_written() for secret in secrets)
    types = {one["data"]["id"]: one["type"] for one in receiver.messages}
    assert set(types) == set(jobs)
    assert set(types.values()) <= {"deletion.deleted", "deletion.gone"}, "gone: its worker died with the answer"
    assert receiver.wrong == []
    twice = Counter(one["id"] for one in receiver.messages)
    assert len(receiver.messages) - len(twice) <= 40, "what workers had in hand when they were killed, and no more"


def test_messages_that_a_worker_cannot_record_arrive_as_one_event_of_each_group(tmp_path: Path) -> None:
    mail, unknown = "maria@example.com", "2" * 32
    with Receiver() as receiver, Receiver() as of_one_project:
        filtered = of_one_project.toml(tmp_path, "other", projects=[DEMO_PROJECT])
        config = f"[accounts.default]\n{receiver.toml(tmp_path)}{filtered}"
        with Fleet(settings=IMPATIENT, config=config, application="tests.acceptance.quick_webhooks") as fleet:
            fleet.plant(BYSTANDER)
            fleet.start_workers(1)
            ledger = fleet.app.ledger("default")
            fleet.wait(lambda: fleet.client.hexists(ledger.prefix + Key.ACCOUNT, "outbox"), "events are written down")
            with fleet.producer() as app:
                for project, job in [(DEMO_PROJECT, mail)] * 50 + [(unknown, "job-1")]:
                    app.send_task("eraser.delete", args=[project, job], queue=OURS.requests)
                app.send_task("shop.mail", args=[mail], queue=OURS.requests)
            fleet.wait(lambda: sum(one.count for one in Parking(fleet.client).groups()) == 52, "all are parked")
            fleet.wait(lambda: len(receiver.messages) == len(of_one_project.messages) == 2, "the events arrive")
    for one in (receiver, of_one_project):
        found = {message["data"]["group"]: message["data"] for message in one.messages}
        assert {group: data["project_id"] for group, data in found.items()} == {
            "bad:eraser.delete": DEMO_PROJECT,
            "refused:-": None,
        }
        assert mail not in str(one.messages)
        assert unknown not in str(one.messages)
        assert one.wrong == []
