"""Is everything set up correctly? Each check is a value: ok, warning or wrong, what was found, and what to do."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import redis

from worker.config.celery_environment import check_celery_environment
from worker.config.urls import broker_form, masked
from worker.execution.app_context import WORKER_TIMEOUT_S, AppContext
from worker.model.errors import SettingsError, Unreachable
from worker.model.states import State
from worker.services import accounts, damage, labels, parked_messages, retention, status
from worker.services.doctor import broker_checks, receipt_checks, redis_checks
from worker.services.doctor import http_checks as http_side
from worker.services.doctor.check import Check, Level, clock_check
from worker.services.doctor.metastudio_checks import look
from worker.services.redis_ping import in_time, require_redis

SHOWN = 5  # of damaged entries
PATIENCE_S = 10.0  # for one call to MetaStudio, because a person waits


def settings_checks(app: AppContext) -> Iterator[Check]:
    """The effective settings, secrets masked."""
    for name, value, origin in app.settings.describe():
        if name == "ERASER_LEASE" and app.settings.lease <= WORKER_TIMEOUT_S:
            why = (
                f"not longer than the {WORKER_TIMEOUT_S:g} s after which a worker counts as lost: nothing ends as "
                f"worker_lost"
            )
            todo = "set it to more than 30s; otherwise a deletion that kills its workers is retried until its deadline"
            yield Check(name, Level.WARNING, f"{value} ({origin}); {why}", todo)
        else:
            yield Check(name, Level.OK, f"{value} ({origin})")
    for name, verdict, found, todo in http_side.look(app):
        yield Check(name, Level(verdict), found, todo)


def checks(app: AppContext, *, offline: bool) -> Iterator[Check]:
    """All checks except the settings, ordered by their dependencies."""
    there = _reachable(app)
    yield there
    if there.unreachable:
        yield Check("the rest", Level.WARNING, "not checked: broker, workers, clocks and credentials", "Redis first")
        return
    yield from _redis(app)
    yield from _broker(app)
    yield from _people(app)
    if offline:
        yield Check("credentials", Level.OK, "not tried (--offline)")
        return
    short = min(PATIENCE_S, app.settings.call_timeout)
    read_timeout = min(short, app.settings.read_timeout)
    quick = AppContext(replace(app.settings, call_timeout=short, read_timeout=read_timeout), app.environ)
    for account in app.settings.accounts.values():
        yield from look(quick, account)


# -- Redis and the broker ----------------------------------------------------------------------------------------------


def _reachable(app: AppContext) -> Check:
    try:
        require_redis(app.redis_url)
    except Unreachable as error:
        return Check("redis", Level.WRONG, str(error), "start it, or set ERASER_REDIS_URL", unreachable=True)
    return Check("redis", Level.OK, f"answers at {masked(app.redis_url)}")


def _redis(app: AppContext) -> Iterator[Check]:
    try:
        for name, verdict, found, todo in redis_checks.look(app.redis):
            yield Check(name, Level(verdict), found, todo)
        seconds, micros = app.redis.time()
    except redis.RedisError as error:
        yield Check("redis", Level.WRONG, f"it stopped answering ({type(error).__name__})", "try again")
        return
    apart = seconds + micros / 1_000_000 - time.time()
    yield clock_check("clock of Redis", apart, "Redis's clock", "set the clocks of both machines by NTP")


def _broker(app: AppContext) -> Iterator[Check]:
    try:
        url = app.settings.broker_url or broker_form(app.redis_url)
        check_celery_environment(app.environ, url)
    except SettingsError as error:
        yield Check("broker", Level.WRONG, str(error), f"unset {error.name}")
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
        yield Check("broker", Level.WRONG, f"{masked(url)} cannot be reached ({problem[0]})", todo)
    else:
        yield Check("broker", Level.OK, f"answers at {masked(url)}")
        yield from _shared(app, url)


def _shared(app: AppContext, url: str) -> Iterator[Check]:
    found: list[Check] = []

    def look() -> None:
        try:
            found.extend(Check(name, Level(how), what, todo) for name, how, what, todo in broker_checks.look(app, url))
        except Exception as error:  # kombu raises what its transport does
            found.append(Check("foreign workers", Level.WARNING, f"unknown ({type(error).__name__})", "try again"))

    if not in_time(look, 8.0):
        found.append(Check("foreign workers", Level.WARNING, "unknown: the broker takes too long", "try again"))
    yield from found


# -- workers and waiting work -
# -----------------------------------------------------------------------------------------


def _people(app: AppContext) -> Iterator[Check]:
    try:
        seen = status.look(app)
    except Unreachable as error:
        yield Check("workers", Level.WRONG, str(error), "try again")
        return
    silent = len(seen.workers) - seen.at_work
    also = f"; {silent} silent for more than 30 s" if silent else ""
    if seen.at_work:
        threads = sum(worker.threads or 0 for worker in seen.workers if not worker.silent)
        found = f"{labels.count(seen.at_work, 'worker')}, {labels.count(threads, 'thread')}{also}"
        yield Check("workers", Level.OK, found)
    else:
        waits = seen.states[State.PENDING]
        verdict = Level.WRONG if seen.due else Level.WARNING
        found = f"none was seen in the last 30 s{also}" + (f", and {waits:,} wait" if waits else "")
        yield Check("workers", verdict, found, f"start one: {status.START}")
    if seen.clocks:
        yield Check("clocks of workers", Level.WRONG, seen.clocks, "set the clocks of these machines by NTP")
    elif seen.at_work:
        yield Check("clocks of workers", Level.OK, "agree with Redis's")
    yield from _addresses(app, seen)
    yield _retention(app)
    for name, how, found, todo in receipt_checks.look(app):
        yield Check(name, Level(how), found, todo)
    for account in seen.accounts:
        yield _gate(account.gate.gate, account.gate.reason, account.gate.account)
        for one in account.gate.closures:
            if one.scope == "project":
                todo = "check the project's id and the key's rights there; to withdraw requests: eraser cancel"
                yield Check(f"project {one.name}", Level.WRONG, labels.closure(one, seen.now), todo)
    yield from _damage(app)
    dead = seen.states[State.DEAD]
    if dead:
        yield Check("dead letters", Level.WARNING, labels.count(dead, "dead letter"), "eraser dead groups")
    else:
        yield Check("dead letters", Level.OK, "none")
    kinds = parked_messages.by_kind(seen.parked)
    if not kinds:
        yield Check("parked messages", Level.OK, "none: every message was recorded")
    for kind, number in kinds.items():
        found = f"{labels.count(number, 'message')} {parked_messages.WHY[kind]}"
        yield Check("parked messages", Level.WARNING, found, "eraser parked list")


def _damage(app: AppContext) -> Iterator[Check]:
    """Damage to the ledger by other programs, one line each."""
    found = list(damage.each(app))
    if not found:
        yield Check("ledger", Level.OK, "nothing in it is damaged")
    for one in found[:SHOWN]:
        yield Check("ledger", Level.WRONG, labels.plain(f"{one.name}: {one.why}"), labels.plain(damage.what_to_do(one)))
    if len(found) > SHOWN:
        yield Check("ledger", Level.WRONG, f"{len(found) - SHOWN} more were damaged", "eraser damaged list")


def _addresses(app: AppContext, seen: status.Overview) -> Iterator[Check]:
    for account in accounts.seen(app, seen.accounts):
        name = f"address of {account.name}"
        if error := account.elsewhere:
            yield Check(name, Level.WRONG, f"the ledger's is {error.bound}, ours {error.ours}", str(error))
        elif account.ledger_endpoint is None:
            yield Check(name, Level.OK, "the ledger has none yet: it keeps the first one used")
        else:
            yield Check(name, Level.OK, f"the ledger belongs to {account.ledger_endpoint}")
    for stray in seen.strays:
        yield Check(f"project {stray.project}", Level.WRONG, str(stray), stray.command)
    for gone in seen.abandoned:
        found = f"it is gone from the settings, and {gone.total:,} deletions and {gone.holds:,} holds are still there"
        todo = "eraser accounts list, then eraser accounts move PROJECT --to ACCOUNT; or put it back into ERASER_CONFIG"
        yield Check(f"account {gone.name}", Level.WRONG, found, todo)


def _retention(app: AppContext) -> Check:
    try:
        policies = app.policies.current()
    except SettingsError as error:
        return Check("retention", Level.WRONG, str(error), f"correct {app.settings.config}")
    if not policies:
        return Check("retention", Level.OK, "no policy")
    scheduled = sum(policy.schedule is not None for policy in policies.values())
    number = labels.count(len(policies), "policy", "policies")
    if scheduled and (why := retention.standstill(app)):
        todo = "run one beat (celery -A worker beat, or eraser up); each worker needs ERASER_CONFIG"
        return Check("retention", Level.WRONG, f"{number}; {why}", todo)
    return Check("retention", Level.OK, f"{number}, {scheduled or 'none'} by schedule")


def _gate(gate: str, reason: str | None, account: str) -> Check:
    found = labels.GATES.get(gate, gate) + (f" ({labels.plain(reason)})" if reason else "")
    name = f"gate of {account}"
    match gate:
        case "ok":
            return Check(name, Level.OK, found)
        case "paused":
            return Check(name, Level.WARNING, found, f"eraser resume --account {account} --reason R")
        case "credentials":
            return Check(
                name, Level.WRONG, found, "set credentials that MetaStudio accepts, then eraser resume --reason R"
            )
        case "misconfigured":
            return Check(
                name, Level.WRONG, found, "check region, project and permissions, then eraser resume --reason R"
            )
        case "clock":
            return Check(name, Level.WARNING, found, "set the clock of this machine by NTP")
        case _:
            return Check(name, Level.WARNING, found, "nothing: calls resume by themselves when MetaStudio accepts them")


# -- MetaStudio --------------------------------------------------------------------------------------------------------
