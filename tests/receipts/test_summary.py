"""What a summary says of receipts."""

from __future__ import annotations

from worker.receipts.summary import Summary


def test_the_times_are_those_of_the_first_and_the_last_end_though_later_receipts_are_of_earlier_ends() -> None:
    summary = Summary()
    for job, second in (("b", 2), ("a", 1), ("c", 9), ("b", 2)):
        receipt = dict.fromkeys(("evidence", "related")) | {"project_id": "p", "kind": "job", "id": job}
        summary.add(receipt | {"state": "deleted", "finished_at": f"2026-11-21T10:00:0{second}.000Z"})
    assert (summary.first_at, summary.last_at) == ("2026-11-21T10:00:01.000Z", "2026-11-21T10:00:09.000Z")
    assert (summary.receipts, summary.jobs, summary.superseded) == (4, 3, 1)
