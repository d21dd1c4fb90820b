"""The certificate of one target: its latest receipt, looked for in Redis and in the files of days."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from worker.execution.app_context import AppContext
from worker.ledger.receipts import DAY_MS
from worker.model.errors import EraserError, UsageError
from worker.model.target import Target
from worker.receipts import certificate, lookup
from worker.receipts.dayfiles import DayFiles
from worker.receipts.lookup import FiledReceipt
from worker.receipts.receipt import target_of
from worker.receipts.sealing import Broken, seal_all
from worker.services.receipts_export import ALL, TRIES, Chain, signer
from worker.services.show import UnknownJob
from worker.services.times import absolute

_MARGIN_MS = 60_000.0  # a receipt is dated by the ledger's time, its place by Redis's


class NoReceipt(UnknownJob):
    """Nothing has ended for this target, or its receipts are elsewhere."""


def find(app: AppContext, project: str, name: str) -> dict[str, Any]:
    """The certificate of the latest receipt of `KIND:ID`, or of a job's id.

    Raises `NoReceipt`, `UsageError`, `Broken`, `DayFileWrong` and `Unreachable`.
    """
    if why := Target.why_not_named(name):
        raise UsageError(why)
    target, key = Target.named(project, name), signer(app)
    for account, since_ms in _accounts(app, target):
        found = _latest(app, account, target, since_ms)
        if isinstance(found, FiledReceipt):
            return certificate.made(found.line, signer=key, proof=found.proof(key))
        if found:
            return certificate.made(found, signer=key, proof=None)
    raise NoReceipt(
        f"there is no receipt of {target.kind} {target.id} in project {project}: its deletion has not ended, or was "
        f"never requested here. See: eraser show {name} --project {project}{_elsewhere(app, target)}"
    )


def _accounts(app: AppContext, target: Target) -> Iterator[tuple[str, float]]:
    """Where its receipts may be, the latest place first, and since when. Its record says when it ended, where there is
    one; if a clock had erred then, its receipt is elsewhere."""
    homes = app.homes_of(target.project_id)
    for account in homes:
        deletion = app.queries(account).show(target)
        if deletion and deletion.finished_at is not None:
            yield account, deletion.finished_at - _MARGIN_MS
        yield account, ALL
    for account, _ in reversed(app.places.past(target.project_id)):
        if account not in homes:
            yield account, ALL


def _latest(app: AppContext, account: str, target: Target, since_ms: float) -> FiledReceipt | dict[str, Any] | None:
    seal_all(app.ledger(account))
    for _ in range(TRIES):
        chain = Chain(app, account, since_ms=since_ms)
        try:
            lines = [line for line in chain.in_redis() if target_of(line) == target]
        except Broken:
            if chain.receipts.progress().archived == chain.progress.archived:
                raise
            continue  # they left Redis meanwhile
        if lines:
            return lines[-1]
        if app.receipts_dir is None:
            return None
        return lookup.latest(DayFiles(app.receipts_dir, account), target, int(max(DAY_MS, since_ms) // DAY_MS) - 1)
    raise EraserError("receipts are being archived all the time; try again in a minute")


def _elsewhere(app: AppContext, target: Target) -> str:
    """That receipts are where this process cannot read them."""
    if app.receipts_dir is not None:
        return ""
    left = [app.receipts(account).progress().archived for account, _ in _accounts(app, target)]
    if not any(one.n for one in left):
        return ""
    until = absolute(max(float(one.id.partition("-")[0]) for one in left))
    return f". Receipts until {until} have left Redis for a worker's files: set ERASER_RECEIPTS_DIR to their directory"
