"""Each event arrives at least once, signed, whoever is killed meanwhile: workers and the receiver, with -9."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from tests.acceptance.fleet import BYSTANDER, IMPATIENT, Fleet
from tests.support.webhook_receiver import Receiver
from worker.ledger.deliveries import Deliveries, DeliveryState
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
