"""Erasures for tests, made by the ledger's own moves."""

from __future__ import annotations

from typing import Any

from tests.support.dead_letters import Undertaker
from worker.ledger.erasures import ErasureStep
from worker.model.erasure import LEFT, Verdict
from worker.model.target import Target

PARTS: list[dict[str, Any]] = [
    {"part": "model_asset", "id": "a-1", "project_id": "p", "evidence": "kept", "before": "ACTIVED", "own": True},
    {
        "part": "voice_job",
        "id": "v-1",
        "project_id": "p",
        "evidence": "kept",
        "why_not_own": "it names no training job",
    },
    {"part": "voice_asset", "id": "va-1", "project_id": "p", "evidence": "purged", "removed_by": "service"},
]


def erased(
    undertaker: Undertaker, job: str, verdict: Verdict = Verdict.PARTIAL, parts: Any = PARTS, **how: Any
) -> None:
    """The job is deleted, and what it left was looked at for the last time."""
    undertaker.end(job, to="deleted", erasure={"related": "verify", "first_look_ms": 0}, **how)
    ref = Target(undertaker.project, job)
    leased = next(one for one in undertaker.ledger.lease_erasures()[0] if one.record.job == ref)
    step = ErasureStep(ref, leased.record.leases, parts, 1, verdict, None, verdict in LEFT)
    assert undertaker.ledger.record_looks([step]) == ["closed"]
