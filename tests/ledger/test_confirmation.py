"""What is confirmed only once others have it: replicas, or the disk of the server itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from tests.support.http_site import Site
from tests.support.ledgers import POLICY
from tests.support.redis_servers import SentinelSet, Server
from worker.execution.app_context import AppContext
from worker.ledger.confirmation import Confirmation
from worker.ledger.connection import connect
from worker.ledger.deletions import Ledger
from worker.ledger.holds import HoldList
from worker.ledger.types import DeletionRequest
from worker.model.errors import NotConfirmed, SettingsError
from worker.model.target import Target

ONE = Target("p", "one")


@pytest.fixture(scope="module")
def servers() -> Iterator[SentinelSet]:
    with SentinelSet(sentinels=1) as every:
        yield every


@pytest.fixture
def ledger(servers: SentinelSet) -> Iterator[Ledger]:
    """On a primary with one replica, which is there, and whose Redis is empty."""
    with connect(servers.primary().url) as client:
        client.flushall()
        yield Ledger(client, "default", POLICY, confirmation=Confirmation(1), patience_s=10)


@pytest.fixture
def frozen(servers: SentinelSet, ledger: Ledger) -> Iterator[Server]:
    """The replica, while it takes nothing."""
    (replica,) = servers.replicas()
    assert ledger.client.wait(1, 5000) == 1
    replica.freeze()
    yield replica
    replica.thaw()


PROMISES: dict[str, Callable[[Ledger], object]] = {
    "request": lambda ledger: ledger.request([ONE], DeletionRequest()),
    "hold": lambda ledger: HoldList(ledger).add([ONE], why="R", by="ops-7"),
    "cancel": lambda ledger: ledger.cancel([ONE], why="R", by="ops-7"),
    "pause": lambda ledger: ledger.pause(why="R", by="ops-7"),
}


@pytest.mark.parametrize("name", PROMISES)
def test_what_a_replica_has_is_confirmed_at_once(ledger: Ledger, name: str) -> None:
    PROMISES[name](ledger)


@pytest.mark.parametrize("name", PROMISES)
def test_what_no_replica_has_is_recorded_and_not_confirmed(
    ledger: Ledger, frozen: Server, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr("worker.ledger.confirmation.WAIT_MS", 50)
    with pytest.raises(NotConfirmed, match="recorded, and it may still be carried out, but 0 of 1 replicas have it"):
        PROMISES[name](ledger)
    assert ledger.client.exists(ledger.prefix + "audit", ledger.prefix + "due:bulk")
    frozen.thaw()
    monkeypatch.undo()
    PROMISES[name](ledger)


def test_an_answer_that_was_lost_on_its_way_is_not_confirmed_by_hearsay(
    ledger: Ledger, frozen: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The repetition writes nothing new, and for a connection that wrote nothing WAIT counts whoever is connected."""
    monkeypatch.setattr("worker.ledger.confirmation.WAIT_MS", 50)
    together, lost = Confirmation._together, []

    def loses_the_first(self: Confirmation, client: redis.Redis, *args: object) -> list[object]:
        found = together(self, client, *args)  # type: ignore[arg-type]
        if not lost and not isinstance(found[0], Exception):
            lost.append(found)
            client.connection_pool.disconnect()
            raise redis.ConnectionError("the answer was lost")
        return found

    monkeypatch.setattr(Confirmation, "_together", loses_the_first)
    with pytest.raises(NotConfirmed):
        ledger.request([ONE], DeletionRequest())
    assert lost


def test_a_server_alone_confirms_by_its_own_disk(servers: SentinelSet, ledger: Ledger, frozen: Server) -> None:
    alone = Ledger(ledger.client, "default", POLICY, confirmation=Confirmation(0))
    ledger.client.config_set("appendfsync", "always")
    try:
        assert [one.state for one in alone.request([ONE], DeletionRequest())] == ["pending"]
        ledger.client.config_set("appendonly", "no")
        with pytest.raises(NotConfirmed, match="Redis cannot say who else has it"):
            alone.request([ONE], DeletionRequest())
    finally:
        ledger.client.config_set("appendonly", "yes")
        ledger.client.config_set("appendfsync", "everysec")


@pytest.mark.parametrize("how", ["everysec", "no"])
def test_a_server_that_syncs_later_confirms_nothing_by_its_disk(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """Some of them answer WAITAOF before they have synced."""
    monkeypatch.setattr("worker.ledger.confirmation.WAIT_MS", 300)
    alone = Ledger(ledger.client, "default", POLICY, confirmation=Confirmation(0))
    ledger.client.config_set("appendfsync", how)
    try:
        with pytest.raises(NotConfirmed, match=f"appendfsync is {how}, and only with always|not on disk after"):
            alone.request([ONE], DeletionRequest())
    finally:
        ledger.client.config_set("appendfsync", "everysec")


def test_the_http_side_says_503_and_that_it_is_recorded(
    servers: SentinelSet, frozen: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.ledger.confirmation.WAIT_MS", 50)
    site = Site(servers.primary().url, tmp_path / "tokens.toml", {"ERASER_REDIS_REPLICAS": "1"})
    with site.client:
        response = site.ask("job-1")
    assert response.status_code == 503
    assert response.json()["type"] == "urn:avatar-eraser:not_confirmed"
    assert "recorded" in response.json()["detail"]
    assert "Retry-After" in response.headers


def test_the_setting_is_a_number_and_no_other_process_waits() -> None:
    assert AppContext.load({}).settings.redis_replicas is None
    assert AppContext.load({"ERASER_REDIS_REPLICAS": "0"}).settings.redis_replicas == 0
    for wrong in ("-1", "one", "1.0", "100"):
        with pytest.raises(SettingsError, match="ERASER_REDIS_REPLICAS: expected how many replicas"):
            AppContext.load({"ERASER_REDIS_REPLICAS": wrong})
