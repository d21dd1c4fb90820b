"""The doctor's line of each endpoint: what it finds, and what to type."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.command import Command
from tests.support.dead_letters import Undertaker
from worker.config.webhooks import EventType
from worker.execution.app_context import AppContext
from worker.ledger import deliveries
from worker.ledger.deliveries import Wanted
from worker.ledger.schema.keys import Key
from worker.services.doctor import webhook_checks
from worker.services.doctor.check import Check, Level
from worker.webhooks.signing import new_secret


@pytest.fixture
def app(command: Command, tmp_path: Path) -> AppContext:
    path = tmp_path / "eraser.toml"
    path.write_text('[webhooks.crm]\nurl = "https://crm.example.com/"\nsecret_envs = ["CRM_SECRET"]\n')
    return AppContext.load(command.environ | {"ERASER_CONFIG": str(path), "CRM_SECRET": new_secret()})


def look(app: AppContext) -> Check:
    (one,) = webhook_checks.look(app)
    return one


def taken(undertaker: Undertaker, endpoint: str = "crm") -> deliveries.Taken:
    wanted = [Wanted(endpoint, EventType, None)]
    deliveries.fan_out(undertaker.ledger, wanted)
    undertaker.end("a", to="deleted")
    deliveries.fan_out(undertaker.ledger, wanted)
    return deliveries.take(undertaker.ledger, endpoint, 1)[0]


def test_it_is_well_while_messages_arrive(app: AppContext, undertaker: Undertaker) -> None:
    one = taken(undertaker)
    deliveries.settle(undertaker.ledger, "crm", one, status=200, ms=1, why="delivered")
    assert look(app) == Check("webhook crm", Level.OK, "https://crm.example.com/: 1 delivered, 0 wait")


def test_what_waits_for_long_or_was_given_up_is_told(app: AppContext, undertaker: Undertaker) -> None:
    one = taken(undertaker)
    undertaker.redis.zincrby(f"{undertaker.ledger.prefix}{Key.DELIVERIES_WAITING}crm", -3_600_000, one.id)
    late = look(app)
    assert (late.verdict, "1 message for https://crm.example.com/ wait, the oldest for 1 h" in late.found) == (
        Level.WARNING,
        True,
    )
    deliveries.settle(undertaker.ledger, "crm", one, status=500, ms=1, why="refused")
    dead = look(app)
    assert (dead.verdict, dead.found) == (Level.WARNING, "1 message to https://crm.example.com/ were given up")
    assert "eraser webhooks replay crm" in dead.todo


def test_a_secret_that_cannot_be_read_and_an_endpoint_that_is_gone_are_told(
    app: AppContext, undertaker: Undertaker, command: Command
) -> None:
    unsigned = AppContext(app.settings, {**app.environ, "CRM_SECRET": "geheim"})
    assert look(unsigned).verdict is Level.WRONG
    assert "geheim" not in str(look(unsigned))
    taken(undertaker, "old")
    without = AppContext.load(command.environ)
    assert look(without).found == "1 message for it wait, and there is no such endpoint"
