"""Is everything as it has to be? Each check is a value: ok, warning or wrong, what was found, and what to do."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import redis

from worker.accounts import Account
from worker.addresses import broker_form, masked
from worker.budget import KeyRests
from worker.deletion import State
from worker.errors import EraserError, SettingsError, Unreachable
from worker.meaning import shows_jobs
from worker.metastudio.answer import Listing
from worker.operations import (
    accounts,
    broker_checks,
    damage,
    parked,
    receipt_checks,
    redis_checks,
    retention,
    status,
    words,
)
from worker.operations.http import checks as http_side
from worker.operations.reach import in_time, require_redis
from worker.operations.times import span
from worker.runtime import HEARD_S, Runtime
from worker.settings import check_celery_environment

SKEW_S = 60.0  # what disagrees by more stops grace periods and rescues
SHOWN = 5  # of what was damaged
PATIENCE_S = 10.0  # for one call to MetaStudio: a person waits


class Verdict(StrEnum):
    """How it stands."""

    OK = "ok"
    WARNING = "warning"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Check:
    """One line. `todo` is empty where nothing has to be done."""

    name: str
    verdict: Verdict
    found: str
    todo: str = ""
    unreachable: bool = False  # Redis does not answer: nothing else of it can be checked

    def as_json(self) -> dict[str, Any]:
        return {"check": self.name, "verdict": self.verdict.value, "found": self.found, "todo": self.todo or None}


def settings_checks(running: Runtime) -> Iterator[Check]:
    """The effective settings, secrets masked."""
    for name, value, origin in running.settings.describe():
        if name == "ERASER_LEASE" and running.settings.lease <= HEARD_S:
            why = f"not longer than the {HEARD_S:g} s after which a worker counts as lost: nothing ends as worker_lost"
            todo = "set it to more than 30s; otherwise a deletion that kills its workers is retried until its deadline"
            yield Check(name, Verdict.WARNING, f"{value} ({origin}); {why}", todo)
        else:
            yield Check(name, Verdict.OK, f"{value} ({origin})")
    for name, verdict, found, todo in http_side.look(running):
        yield Check(name, Verdict(verdict), found, todo)


def checks(running: Runtime, *, offline: bool) -> Iterator[Check]:
    """Everything but the settings, in the order in which one thing rests on the other."""
    there = _reachable(running)
    yield there
    if there.unreachable:
        yield Check("the rest", Verdict.WARNING, "not checked: broker, workers, clocks and credentials", "Redis first")
        return
    yield from _redis(running)
    yield from _broker(running)
    yield from _people(running)
    if offline:
        yield Check("credentials", Verdict.OK, "not tried (--offline)")
        return
    short = min(PATIENCE_S, running.settings.call_timeout)
    read_timeout = min(short, running.settings.read_timeout)
    quick = Runtime(replace(running.settings, call_timeout=short, read_timeout=read_timeout), running.environ)
    for account in running.settings.accounts.values():
        yield from _metastudio(quick, account)


# -- Redis and the broker ----------------------------------------------------------------------------------------------


def _reachable(running: Runtime) -> Check:
    try:
        require_redis(running.redis_url)
    except Unreachable as error:
        return Check("redis", Verdict.WRONG, str(error), "start it, or set ERASER_REDIS_URL", unreachable=True)
    return Check("redis", Verdict.OK, f"answers at {masked(running.redis_url)}")


def _redis(running: Runtime) -> Iterator[Check]:
    try:
        for name, verdict, found, todo in redis_checks.look(running.redis):
            yield Check(name, Verdict(verdict), found, todo)
        seconds, micros = running.redis.time()
    except redis.RedisError as error:
        yield Check("redis", Verdict.WRONG, f"it stopped answering ({type(error).__name__})", "try again")
        return
    apart = seconds + micros / 1_000_000 - time.time()
    yield _clock("clock of Redis", apart, "Redis's clock", "set the clocks of both machines by NTP")


def _broker(running: Runtime) -> Iterator[Check]:
    try:
        url = running.settings.broker_url or broker_form(running.redis_url)
        check_celery_environment(running.environ, url)
    except SettingsError as error:
        yield Check("broker", Verdict.WRONG, str(error), f"unset {error.name}")
        return
    problem: list[str] = []

    def connect() -> None:
        from kombu import Connection

        try:
            options = {"socket_connect_timeout": 3, "socket_timeout": 3}
            with Connection(url, transport_options=options, connect_timeout=3) as connection:
                connection.ensure_connection(max_retries=1, interval_start=0)
        except Exception as error:  # kombu raises what its transport does
            problem.append(type(error).__name__)

    if not in_time(connect, 5.0):
        problem.append("no answer")
    if problem:
        todo = "start it, or set ERASER_BROKER_URL; requests are recorded meanwhile, but workers are not woken"
        yield Check("broker", Verdict.WRONG, f"{masked(url)} cannot be reached ({problem[0]})", todo)
    else:
        yield Check("broker", Verdict.OK, f"answers at {masked(url)}")
        yield from _shared(running, url)


def _shared(running: Runtime, url: str) -> Iterator[Check]:
    found: list[Check] = []

    def look() -> None:
        try:
            found.extend(
                Check(name, Verdict(how), what, todo) for name, how, what, todo in broker_checks.look(running, url)
            )
        except Exception as error:  # kombu raises what its transport does
            found.append(Check("foreign workers", Verdict.WARNING, f"unknown ({type(error).__name__})", "try again"))

    if not in_time(look, 8.0):
        found.append(Check("foreign workers", Verdict.WARNING, "unknown: the broker takes too long", "try again"))
    yield from found


# -- who works, and what waits -----------------------------------------------------------------------------------------


def _people(running: Runtime) -> Iterator[Check]:
    try:
        seen = status.look(running)
    except Unreachable as error:
        yield Check("workers", Verdict.WRONG, str(error), "try again")
        return
    silent = len(seen.workers) - seen.at_work
    also = f"; {silent} silent for more than 30 s" if silent else ""
    if seen.at_work:
        threads = sum(worker.threads or 0 for worker in seen.workers if not worker.silent)
        found = f"{words.count(seen.at_work, 'worker')}, {words.count(threads, 'thread')}{also}"
        yield Check("workers", Verdict.OK, found)
    else:
        waits = seen.states[State.PENDING]
        verdict = Verdict.WRONG if seen.due else Verdict.WARNING
        found = f"none was seen in the last 30 s{also}" + (f", and {waits:,} wait" if waits else "")
        yield Check("workers", verdict, found, f"start one: {status.START}")
    if seen.clocks:
        yield Check("clocks of workers", Verdict.WRONG, seen.clocks, "set the clocks of these machines by NTP")
    elif seen.at_work:
        yield Check("clocks of workers", Verdict.OK, "agree with Redis's")
    yield from _addresses(running, seen)
    yield _retention(running)
    for name, how, found, todo in receipt_checks.look(running):
        yield Check(name, Verdict(how), found, todo)
    for account in seen.accounts:
        yield _gate(account.gate.gate, account.gate.reason, account.gate.account)
        for one in account.gate.closures:
            if one.scope == "project":
                todo = "check the project's id and the key's rights there; to withdraw requests: eraser cancel"
                yield Check(f"project {one.name}", Verdict.WRONG, words.closure(one, seen.now), todo)
    yield from _damage(running)
    dead = seen.states[State.DEAD]
    if dead:
        yield Check("dead letters", Verdict.WARNING, words.count(dead, "dead letter"), "eraser dead groups")
    else:
        yield Check("dead letters", Verdict.OK, "none")
    kinds = parked.by_kind(seen.parked)
    if not kinds:
        yield Check("parked messages", Verdict.OK, "none: every message was recorded")
    for kind, number in kinds.items():
        found = f"{words.count(number, 'message')} {parked.WHY[kind]}"
        yield Check("parked messages", Verdict.WARNING, found, "eraser parked list")


def _damage(running: Runtime) -> Iterator[Check]:
    """What other hands did to the ledger, one line each."""
    found = list(damage.each(running))
    if not found:
        yield Check("ledger", Verdict.OK, "nothing in it is damaged")
    for one in found[:SHOWN]:
        yield Check("ledger", Verdict.WRONG, words.plain(f"{one.name}: {one.why}"), words.plain(damage.what_to_do(one)))
    if len(found) > SHOWN:
        yield Check("ledger", Verdict.WRONG, f"{len(found) - SHOWN} more were damaged", "eraser damaged list")


def _addresses(running: Runtime, seen: status.Overview) -> Iterator[Check]:
    for account in accounts.seen(running, seen.accounts):
        name = f"address of {account.name}"
        if error := account.elsewhere:
            yield Check(name, Verdict.WRONG, f"the ledger's is {error.bound}, ours {error.ours}", str(error))
        elif account.ledger_endpoint is None:
            yield Check(name, Verdict.OK, "the ledger has none yet: it keeps the first one used")
        else:
            yield Check(name, Verdict.OK, f"the ledger belongs to {account.ledger_endpoint}")
    for stray in seen.strays:
        yield Check(f"project {stray.project}", Verdict.WRONG, str(stray), stray.command)
    for gone in seen.abandoned:
        found = f"it is gone from the settings, and {gone.total:,} deletions and {gone.holds:,} holds are still there"
        todo = "eraser accounts list, then eraser accounts move PROJECT --to ACCOUNT; or put it back into ERASER_CONFIG"
        yield Check(f"account {gone.name}", Verdict.WRONG, found, todo)


def _retention(running: Runtime) -> Check:
    try:
        policies = running.policies.current()
    except SettingsError as error:
        return Check("retention", Verdict.WRONG, str(error), f"correct {running.settings.config}")
    if not policies:
        return Check("retention", Verdict.OK, "no policy")
    scheduled = sum(policy.schedule is not None for policy in policies.values())
    number = words.count(len(policies), "policy", "policies")
    if scheduled and (why := retention.standstill(running)):
        todo = "run one beat (celery -A worker beat, or eraser up); each worker needs ERASER_CONFIG"
        return Check("retention", Verdict.WRONG, f"{number}; {why}", todo)
    return Check("retention", Verdict.OK, f"{number}, {scheduled or 'none'} by schedule")


def _gate(gate: str, reason: str | None, account: str) -> Check:
    found = words.GATES.get(gate, gate) + (f" ({words.plain(reason)})" if reason else "")
    name = f"gate of {account}"
    match gate:
        case "ok":
            return Check(name, Verdict.OK, found)
        case "paused":
            return Check(name, Verdict.WARNING, found, f"eraser resume --account {account} --reason R")
        case "credentials":
            return Check(
                name, Verdict.WRONG, found, "set credentials that MetaStudio accepts, then eraser resume --reason R"
            )
        case "misconfigured":
            return Check(
                name, Verdict.WRONG, found, "check region, project and permissions, then eraser resume --reason R"
            )
        case "clock":
            return Check(name, Verdict.WARNING, found, "set the clock of this machine by NTP")
        case _:
            return Check(
                name, Verdict.WARNING, found, "nothing: calls resume by themselves when MetaStudio accepts them"
            )


# -- MetaStudio --------------------------------------------------------------------------------------------------------


def _metastudio(running: Runtime, account: Account) -> Iterator[Check]:
    """One harmless signed list of one; none with a key that was refused lately: more would lock it."""
    name = f"credentials of {account.name}"
    if account.endpoint is None:
        todo = "nothing on a machine that only records requests; on a worker set ERASER_REGION or ERASER_ENDPOINT"
        yield Check(name, Verdict.WARNING, "no region and no endpoint: no call can be made from here", todo)
        return
    project = running.home(account.name)
    if project is None:
        todo = "set HUAWEICLOUD_SDK_PROJECT_ID, or the account's projects in ERASER_CONFIG"
        yield Check(name, Verdict.WARNING, "not tried: no project is known", todo)
        return
    try:
        client, _ = running.client(account.name)
        listing = client.list(project, limit=1)
    except KeyRests as error:
        todo = f"correct it, then: eraser resume --account {account.name} --reason R"
        yield Check(name, Verdict.WRONG, f"not tried: {error.said}", todo)
        return
    except EraserError as error:
        yield Check(name, Verdict.WRONG, str(error), "set what it names")
        return
    yield _credentials(name, account, listing, project)
    if listing.answer.date is not None and not listing.answer.of_iam:
        apart = (listing.answer.date - datetime.now(UTC)).total_seconds()
        todo = "set this machine's clock by NTP; calls are signed with MetaStudio's clock meanwhile"
        yield _clock(f"clock of {account.name}", apart, "MetaStudio's clock", todo)


def _credentials(name: str, account: Account, listing: Listing, project: str) -> Check:
    answer = listing.answer
    said = words.plain(" ".join(str(part) for part in (answer.status, answer.code, answer.message) if part))
    login = account.credentials.login
    where = f"{account.endpoint} in {answer.ms} ms" + (f" with a token of {login.endpoint}" if login else "")
    if answer.of_iam and login is not None:
        todo = f"check user {login.user}, domain {login.domain}, the password and the project; or sign with AK/SK"
        found = said or words.SILENCES.get(str(answer.silence), str(answer.silence))
        return Check(name, Verdict.WRONG, f"no token from IAM at {login.endpoint}: {found}", todo)
    match answer.status:
        case 200 if listing.count == 0:
            todo = (
                f"if there should be jobs in project {project}: the key may belong to another tenant or user, or jobs "
                "to app users; jobs that are not listed become not_visible, never gone"
            )
            return Check(name, Verdict.WARNING, f"accepted by {where}, but sees no job", todo)
        case 200 if shows_jobs(listing, project) is None and listing.count is not None:
            todo = "ask MetaStudio's support: such a list proves nothing, and no sweep uses it"
            return Check(name, Verdict.WRONG, f"accepted by {where}, but its list contradicts itself", todo)
        case 200 if listing.count is not None:
            return Check(name, Verdict.OK, f"accepted by {where}; sees {words.count(listing.count, 'job')}")
        case None:
            silence = words.SILENCES.get(str(answer.silence), str(answer.silence))
            return Check(name, Verdict.WRONG, f"{account.endpoint}: {silence}", "check the endpoint, DNS and firewalls")
        case 401:
            return Check(name, Verdict.WRONG, f"refused: {said}", "check the key, its secret and the clock")
        case 403 | 404:
            return Check(name, Verdict.WRONG, f"refused: {said}", "check region, project id and the key's permissions")
        case 429:
            return Check(name, Verdict.WARNING, f"throttled: {said}", "try again in a minute")
        case _:
            return Check(name, Verdict.WRONG, f"no usable answer: {said}", "try again; workers do so by themselves")


def _clock(name: str, apart_s: float, whose: str, todo: str) -> Check:
    if abs(apart_s) < 2:
        return Check(name, Verdict.OK, f"{whose} agrees with this machine's")
    found = f"{whose} is {span(apart_s)} {'ahead of' if apart_s > 0 else 'behind'} this machine's"
    if abs(apart_s) > SKEW_S:
        return Check(name, Verdict.WRONG, found, todo)
    return Check(name, Verdict.WARNING if abs(apart_s) > 5 else Verdict.OK, found, todo if abs(apart_s) > 5 else "")
