"""A failover may lose the last records: what is said of a deletion of whose DELETE the new primary knows nothing."""

from __future__ import annotations

import pytest
import redis

from tests.execution.test_executor import LEASE_S, Shop
from tests.support.copies import Copies

JOB = "job-00001"
A_MINUTE_S = 75.0  # after an absence it is looked up once more


@pytest.fixture
def shop(shop: Shop) -> Shop:
    shop.simulator.fill(5)
    shop.request(JOB)
    return shop


@pytest.fixture
def replica(client: redis.Redis) -> Copies:
    return Copies(client)


def test_a_deletion_of_whose_call_nothing_is_left_is_gone_and_not_deleted(
    shop: Shop, replica: Copies, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing that is left proves that we did it. The worker's log does: it has the number of the request."""
    replica.make()
    with caplog.at_level("INFO"):
        shop.work()
    assert shop.ends(JOB) == "deleted"
    replica.put_back()
    assert shop.ends(JOB) == "pending"
    shop.work()
    assert shop.ends(JOB) == "pending retry"
    shop.work(ahead_s=A_MINUTE_S)
    assert shop.ends(JOB) == "gone never_seen"
    first, second = (call for call in shop.simulator.calls() if call["operation"] == "delete")
    assert (first["status"], second["status"]) == (200, 400)
    (logged,) = (line for line in caplog.records if line.getMessage() == "deletion.deleted")
    assert (vars(logged)["job_id"], vars(logged)["request_id"]) == (JOB, first["request_id"])


def test_a_deletion_of_whose_call_only_the_lease_is_left_is_gone_after_our_call(shop: Shop, replica: Copies) -> None:
    shop.wire.after_delete = replica.make
    shop.work()
    assert shop.ends(JOB) == "deleted"
    replica.put_back()
    assert shop.ends(JOB) == "running"
    shop.pass_time(LEASE_S + 1)
    shop.ledger.rescue(alive=["w1"], counts=True)
    shop.work()
    assert shop.ends(JOB) == "gone after_our_call"


def test_a_call_that_was_under_way_at_the_failover_is_recorded_where_no_lease_of_it_is_known(
    shop: Shop, replica: Copies
) -> None:
    replica.make()
    shop.wire.after_delete = replica.put_back
    shop.work()
    assert shop.ends(JOB) == "deleted"
    assert [call["status"] for call in shop.simulator.calls() if call["operation"] == "delete"] == [200]
