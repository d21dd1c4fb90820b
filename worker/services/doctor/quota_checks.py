"""Does our pace fit the limits that the API gateway says it has? What it says is shown and never changes a pace."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict

from worker.config.accounts import Account
from worker.execution.app_context import AppContext
from worker.execution.ledger_context import gate_policy
from worker.ledger.types import GatePolicy
from worker.metastudio.response import Response
from worker.metastudio.targets.avatar_job import AVATAR_JOB
from worker.model.errors import EraserError
from worker.model.quota import Quota
from worker.services.doctor.check import Check, Level, ok, warning
from worker.services.times import span

FAR_BELOW = 0.5  # of what the gateway allows


def look(app: AppContext, account: Account, response: Response) -> Iterator[Check]:
    """One line for each family of calls whose limit is known. `response`: the answer to a call that asked for it."""
    if response.quota is not None:
        note(app, account, response)
    known = _known(app, account, response)
    if not known:
        yield ok(f"limits of {account.name}", "the gateway says nothing of its limits; the documented ones are kept")
    paces = _paces(gate_policy(app.settings, account))
    for quota in known:
        yield _check(account, quota, *paces.get(quota.family, (None, False)))


def note(app: AppContext, account: Account, response: Response) -> None:
    """Keep the limit in the account's gate, if the ledger's account has this address already: to look binds none."""
    with suppress(EraserError):  # what is wrong with the ledger has lines of its own
        bound = app.queries(account.name).status().bound
        if response.quota is not None and bound is not None and bound.endpoint == account.endpoint:
            app.ledger(account.name).note_quota(asdict(response.quota))


def _known(app: AppContext, account: Account, response: Response) -> list[Quota]:
    """What the gate has kept, and what was just answered."""
    found: dict[str, Quota] = {}
    with suppress(EraserError):
        found = {quota.family: quota for quota in app.queries(account.name).gate().quotas}
    if response.quota is not None and response.quota.family not in found:
        found[response.quota.family] = response.quota
    return list(found.values())


def _paces(policy: GatePolicy) -> dict[str, tuple[float, bool]]:
    """Our calls a second, by family, and whether a higher pace would be of use: of DELETEs it would."""
    paces = {AVATAR_JOB.deleting.name: (1000 / policy.interval, True)}
    paces[AVATAR_JOB.reading.name] = (1000 / policy.look_interval, False)
    for kind in policy.kinds:
        paces[kind.look_family] = (1000 / kind.look_interval, False)
        paces[kind.family] = (1000 / kind.interval, True)
    return paces


def _check(account: Account, quota: Quota, ours: float | None, matters: bool) -> Check:
    name = f"limit of {quota.family} of {account.name}"
    found = f"the gateway allows {quota.limit} in {span(quota.period_s)} ({quota.scope})"
    if ours is None:
        return ok(name, found)
    found += f", our pace is {ours:g}/s"
    most = math.floor(account.rate * quota.rate / ours * 100) / 100
    if ours > quota.rate:
        todo = f"set ERASER_RATE (rate in ERASER_CONFIG) to at most {most:g}: calls above the limit are answered 429"
        return warning(name, found, todo)
    if matters and ours < quota.rate * FAR_BELOW:
        todo = f"nothing has to be done; if MetaStudio confirms the limit, ERASER_RATE may be up to {most:g}"
        return Check(name, Level.OK, found, todo)
    return ok(name, found)
