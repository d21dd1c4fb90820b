"""Does MetaStudio take our calls? One harmless signed list an account."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from worker.config.accounts import Account
from worker.execution.app_context import AppContext
from worker.execution.key_budget import KeyBlocked
from worker.metastudio.response import Listing
from worker.model.errors import EraserError
from worker.rules.classify import shows_jobs
from worker.services import labels
from worker.services.doctor import quota_checks
from worker.services.doctor.check import Check, clock_check, ok, warning, wrong


def look(app: AppContext, account: Account) -> Iterator[Check]:
    """One signed list of one job as a test; none with a key that was refused recently, because more refusals would
    lock it.
    """
    name = f"credentials of {account.name}"
    if account.endpoint is None:
        todo = "nothing on a machine that only records requests; on a worker set ERASER_REGION or ERASER_ENDPOINT"
        yield warning(name, "no region and no endpoint: no call can be made from here", todo)
        return
    project = app.home(account.name)
    if project is None:
        todo = "set HUAWEICLOUD_SDK_PROJECT_ID, or the account's projects in ERASER_CONFIG"
        yield warning(name, "not tried: no project is known", todo)
        return
    try:
        client, _ = app.client(account.name)
        listing = client.list(project, limit=1, quota=True)
    except KeyBlocked as error:
        todo = f"correct it, then: eraser resume --account {account.name} --reason R"
        yield wrong(name, f"not tried: {error.summary}", todo)
        return
    except EraserError as error:
        yield wrong(name, str(error), "set what it names")
        return
    yield _credentials(name, account, listing, project)
    if listing.response.date is not None and not listing.response.of_iam:
        apart = (listing.response.date - datetime.now(UTC)).total_seconds()
        todo = "set this machine's clock by NTP; calls are signed with MetaStudio's clock meanwhile"
        yield clock_check(f"clock of {account.name}", apart, "MetaStudio's clock", todo)
    if listing.count is not None:
        yield from quota_checks.look(app, account, listing.response)


def _credentials(name: str, account: Account, listing: Listing, project: str) -> Check:
    response = listing.response
    answer = labels.answer(response.status, response.code, response.message)
    login = account.credentials.login
    where = f"{account.endpoint} in {response.ms} ms" + (f" with a token of {login.endpoint}" if login else "")
    if response.of_iam and login is not None:
        todo = f"check user {login.user}, domain {login.domain}, the password and the project; or sign with AK/SK"
        return wrong(
            name, f"no token from IAM at {login.endpoint}: {answer or labels.failure_text(response.failure)}", todo
        )
    match response.status:
        case 200 if listing.count == 0:
            todo = (
                f"if there should be jobs in project {project}: the key may belong to another tenant or user, or jobs "
                "to app users; jobs that are not listed become not_visible, never gone"
            )
            return warning(name, f"accepted by {where}, but sees no job", todo)
        case 200 if shows_jobs(listing, project) is None and listing.count is not None:
            todo = "ask MetaStudio's support: such a list proves nothing, and no sweep uses it"
            return wrong(name, f"accepted by {where}, but its list contradicts itself", todo)
        case 200 if listing.count is not None:
            return ok(name, f"accepted by {where}; sees {labels.count(listing.count, 'job')}")
        case None:
            found = f"{account.endpoint}: {labels.failure_text(response.failure)}"
            return wrong(name, found, "check the endpoint, DNS and firewalls")
        case 401:
            return wrong(name, f"refused: {answer}", "check the key, its secret and the clock")
        case 403 | 404:
            return wrong(name, f"refused: {answer}", "check region, project id and the key's permissions")
        case 429:
            return warning(name, f"throttled: {answer}", "try again in a minute")
        case _:
            return wrong(name, f"no usable answer: {answer}", "try again; workers do so by themselves")
