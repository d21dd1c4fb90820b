"""A recheck of very many closed erasures asks for a hundred assets at a time, and finds each that came back."""

from __future__ import annotations

from tests.execution.test_erasure import Estate
from tests.execution.test_erasure import estate as estate
from worker.ledger.rechecks import record
from worker.model.target import Target
from worker.receipts.rechecker import BATCH
from worker.simulator import DEMO_PROJECT

JOBS = [f"many-{n:03d}" for n in range(130)]
BACK = ("many-000", "many-064", "many-129")
WHOLE = "whole_by_acknowledgement closed"


def test_each_asset_that_came_back_is_found_among_a_hundred_and_thirty(estate: Estate) -> None:
    for job in JOBS:
        estate.simulator.add_avatar(job, voice=False, cascade="purge")
    estate.delete(*JOBS)
    estate.to_the_end()
    assert {estate.verdict(job) for job in JOBS} == {WHOLE}
    for job in BACK:
        estate.simulator.add_asset(f"asset-{job}")
    before = len(estate.simulator.calls())
    estate.pass_time(5 - estate.clocks()[0] % 5)  # looks of the next five seconds are due together
    for start in range(0, len(JOBS), BATCH):  # as the scheduled recheck finds them, while others look
        results = {Target(DEMO_PROJECT, job): "gone" for job in JOBS[start : start + BATCH]}
        record(estate.ledger, None, results, looks=[None])
        estate.pass_time(0.1)
        estate.go()
    estate.later(5)
    assert {job for job in JOBS if estate.verdict(job) != WHOLE} == set(BACK)
    assert {estate.verdict(job) for job in BACK} == {"partial closed"}
    lists = [call for call in estate.simulator.calls(before) if call["operation"] == "list" and call["kind"] == "asset"]
    named = [call["query"].count("asset_id=") for call in lists if "asset_id=" in call["query"]]
    assert sum(named) == len(JOBS)
    assert max(named) <= 100
    assert len(named) <= 3, "one more than it takes, if this machine stood still over the end of the five seconds"
