"""Another Celery application on our broker: neither takes the other's messages, and the doctor sees whoever does."""

from __future__ import annotations

import json
import sys

from tests.acceptance.fleet import Fleet, Process
from tests.acceptance.judge import judge
from worker.ledger.keys import OURS
from worker.model.states import State
from worker.simulator import DEMO_PROJECT

SHOP = """
from celery import Celery
app = Celery("shop", broker={broker!r})
@app.task(name="shop.mail")
def mail(n):
    with open({done!r}, "a") as file:
        file.write(f"{{n}}\\n")
"""


def shop(fleet: Fleet, name: str, *words: str) -> Process:
    """A worker of somebody else's application, as Celery configures it by itself."""
    code = SHOP.format(broker=fleet.app.settings.broker_url, done=str(fleet.directory / "mails"))
    (fleet.directory / "shop.py").write_text(code)
    environ = fleet.env | {"PYTHONPATH": str(fleet.directory)}
    command = [
        sys.executable,
        "-m",
        "celery",
        "-A",
        "shop",
        "worker",
        "-P",
        "solo",
        "-l",
        "INFO",
        "-n",
        f"{name}@shop",
        *words,
    ]
    process = fleet.start(name, command, env=environ)
    fleet.wait(lambda: "ready." in process.text, f"{name} takes messages")
    return process


def doctor(fleet: Fleet) -> dict[str, dict[str, str]]:
    done = fleet.command("doctor", "--offline", "--json")
    return {check["check"]: check for check in map(json.loads, done.stdout.splitlines())}


def test_two_applications_on_one_broker_lose_nothing_to_each_other() -> None:
    jobs = [f"job-{n:03d}" for n in range(100)]
    with Fleet() as fleet:
        fleet.plant(*jobs)
        fleet.start_workers(1)
        shop(fleet, "theirs")
        with fleet.producer() as app:
            for n, job in enumerate(jobs):
                app.send_task("eraser.delete", args=[DEMO_PROJECT, job], queue=OURS.requests)
                app.send_task("shop.mail", args=[n])
        fleet.wait_until_settled(len(jobs))
        mails = fleet.directory / "mails"
        fleet.wait(lambda: mails.exists() and len(mails.read_text().split()) == len(jobs), "all their mails are sent")
        assert fleet.states() == {State.DELETED: len(jobs)}
        judge(fleet, jobs)
        assert doctor(fleet)["foreign workers"]["verdict"] == "ok"


def test_the_doctor_sees_who_takes_our_messages_and_where_ours_lie() -> None:
    with Fleet() as fleet:
        taker = shop(fleet, "greedy", "-Q", OURS.requests)
        with fleet.producer() as app:
            for _ in range(3):
                app.send_task("eraser.delete", args=[DEMO_PROJECT, "job-1"])  # as long as nobody says queue=
            app.send_task("shop.mail", args=[1])
        found = doctor(fleet)
        assert found["foreign workers"]["verdict"] == "wrong"
        assert "greedy@shop" in found["foreign workers"]["found"]
        assert found["foreign queue"]["verdict"] == "wrong"
        assert "3 messages for us in the queue celery" in found["foreign queue"]["found"]
        assert 'queue="eraser"' in found["foreign queue"]["todo"]
        taker.kill()
        assert doctor(fleet)["foreign workers"]["verdict"] == "ok"
