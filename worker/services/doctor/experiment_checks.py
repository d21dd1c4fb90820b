"""Is it known what MetaStudio itself deletes, and do the settings fit that?"""

from __future__ import annotations

from collections.abc import Iterator

from worker.config.accounts import Account
from worker.execution.app_context import AppContext
from worker.services import experiment
from worker.services.doctor.check import Check, Level, ok, warning


def look(app: AppContext, account: Account) -> Iterator[Check]:
    """The newest experiment of the account that shows anything."""
    name = f"leftovers of {account.name}"
    found = list(experiment.reports(app, account.name))
    if not found:
        todo = "eraser learn JOB_ID finds it out with one throw-away job"
        yield Check(name, Level.OK, "it is not known what MetaStudio deletes with a job", todo)
        return
    best = next((report for report in found if report.proposals), found[0])
    text = experiment.summary(best, app.queries(account.name).now_ms())
    related = app.related(account.name).value
    effective = {"ERASER_RELATED": related, "ERASER_RELATED_ASSETS": app.settings.related_assets.value}
    other = [one for one in best.proposals if _differs(one.setting, one.value, effective)]
    if not other:
        yield ok(name, text)
        return
    todo = "consider " + " and ".join(f"{one.setting}={one.value} ({one.why})" for one in other)
    yield warning(name, text, todo)


def _differs(setting: str, value: str, effective: dict[str, str]) -> bool:
    """Whoever deletes more than is proposed needs no advice."""
    return effective[setting] != value and (setting, effective[setting]) != ("ERASER_RELATED", "delete")
