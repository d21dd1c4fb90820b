"""Does MetaStudio take our calls? One harmless signed list an account."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from worker.config.accounts import Account
from worker.config.keyless import KeylessReference, Source
from worker.config.logins import LoginReference
from worker.config.network import NO_PROXY, PROXY
from worker.config.trust import CA_BUNDLE, trust
from worker.execution.app_context import AppContext
from worker.execution.key_budget import KeyBlocked
from worker.metastudio.keyless import ISSUERS
from worker.metastudio.response import Listing, Obstacle, Response
from worker.model.errors import EraserError
from worker.rules.classify import shows_jobs
from worker.services import labels
from worker.services.doctor import quota_checks
from worker.services.doctor.check import Check, clock_check, ok, warning, wrong

SOON_S: Final = 30 * 86400.0
_OTHERS: Final = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")  # what other programs look at


def trusted_cas(ca_bundle: Path) -> Check:
    """The CAs that are trusted instead of the public ones, and whether one of them ends soon."""
    context = trust(ca_bundle).current()
    found = f"{labels.count(context.cert_store_stats()['x509'], 'certificate')} in {ca_bundle}, and no other CA"
    ends = min((ssl.cert_time_to_seconds(str(each["notAfter"])) for each in context.get_ca_certs()), default=None)
    if ends is None or ends - time.time() > SOON_S:
        return ok("trusted CAs", found)
    when = datetime.fromtimestamp(ends, UTC).strftime("%Y-%m-%d")
    return warning("trusted CAs", f"{found}; one ends on {when}", "add the CA that follows it to the file")


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
    yield _credentials(name, account, listing, project, app)
    if listing.response.date is not None and not listing.response.of_iam:
        apart = (listing.response.date - datetime.now(UTC)).total_seconds()
        todo = "set this machine's clock by NTP; calls are signed with MetaStudio's clock meanwhile"
        yield clock_check(f"clock of {account.name}", apart, "MetaStudio's clock", todo)
    if listing.count is not None:
        yield from quota_checks.look(app, account, listing.response)


def _credentials(name: str, account: Account, listing: Listing, project: str, app: AppContext) -> Check:
    response = listing.response
    answer = labels.answer(response.status, response.code, response.message)
    issuer, silent = account.credentials.issued_by, _silence_todo(response, app)
    proxy = app.settings.network.proxy_for(urlsplit(account.endpoint or "").hostname or "")
    where = f"{account.endpoint} in {response.ms} ms" + (f" with {issued}" if (issued := _issued(account)) else "")
    where += f" through proxy {proxy}" if proxy else ""
    if response.of_iam and issuer is not None:
        found = f"{_not_issued(issuer)}: {answer or labels.failure_text(response.failure)}"
        return wrong(name, found, _refusal_todo(issuer) if response.status else silent)
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
            return wrong(name, f"{account.endpoint}: {answer or labels.failure_text(response.failure)}", silent)
        case 401:
            return wrong(name, f"refused: {answer}", "check the key, its secret and the clock")
        case 403 | 404:
            return wrong(name, f"refused: {answer}", "check region, project id and the key's permissions")
        case 429:
            return warning(name, f"throttled: {answer}", "try again in a minute")
        case _:
            return wrong(name, f"no usable answer: {answer}", "try again; workers do so by themselves")


def _issued(account: Account) -> str:
    login, keyless = account.credentials.login, account.credentials.keyless
    return f"a token of {login.endpoint}" if login else f"{keyless}" if keyless else ""


def _not_issued(issuer: LoginReference | KeylessReference) -> str:
    if isinstance(issuer, LoginReference):
        return f"no token from IAM at {issuer.endpoint}"
    return f"no key from the {ISSUERS[issuer.source]} at {issuer.address}".replace("the STS", "STS")


def _refusal_todo(issuer: LoginReference | KeylessReference) -> str:
    if isinstance(issuer, LoginReference):
        return f"check user {issuer.user}, domain {issuer.domain}, the password and the project; or sign with AK/SK"
    match issuer.source:
        case Source.ECS:
            return "choose an agency for this ECS that may use MetaStudio (ECS console, Manage Agency); or set a key"
        case Source.CCE:
            return "associate an agency with this pod's service account (CCE console, pod identity); or set a key"
        case _:
            return f"check the agency {issuer.agency_urn}, what it trusts, and the token's issuer, audience and end"


def _silence_todo(response: Response, app: AppContext) -> str:
    """What to do where there was no answer."""
    ca_bundle = app.settings.ca_bundle
    match response.obstacle:
        case Obstacle.ISSUER if ca_bundle is not None:
            return f"add the CA that issued it to {ca_bundle} ({CA_BUNDLE})"
        case Obstacle.ISSUER:
            return f"set {CA_BUNDLE} to a PEM file with the CA that issued it"
        case Obstacle.HOST:
            return "correct the address: its certificate is for another host"
        case Obstacle.TIME:
            return "check this machine's clock; if it is right, the server's certificate has to be renewed"
        case Obstacle.PROXY:
            return f"correct {PROXY}, or start the proxy; {NO_PROXY} names the hosts that need none"
        case Obstacle.PROXY_LOGIN:
            return f"set {PROXY} (or {PROXY}_FILE) to http://USER:PASSWORD@HOST:PORT with what the proxy wants"
        case Obstacle.PROXY_RULE:
            return f"allow the host at the proxy, or name it in {NO_PROXY} if it is reached without one"
        case Obstacle.PROXY_TARGET:
            return f"check the address, and the DNS and firewalls of the proxy; {NO_PROXY} names hosts that need none"
        case None:
            theirs = next((name for name in _OTHERS if app.environ.get(name)), None)
            hint = f"; {theirs} has no effect: set {PROXY} where calls must go through a proxy" if theirs else ""
            return "check the endpoint, DNS and firewalls" + ("" if app.settings.proxy else hint)
