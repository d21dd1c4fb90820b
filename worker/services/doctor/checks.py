"""Is everything set up correctly? Each check is a value: ok, warning or wrong, what was found, and what to do."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import redis

from worker.config.redis_urls import parse_redis_url
from worker.config.urls import masked
from worker.execution.app_context import WORKER_TIMEOUT_S, AppContext
from worker.execution.live_workers import refuse_distant_workers, versions
from worker.ledger.records import Gate
from worker.ledger.schema.states import VERSION
from worker.model.errors import OtherSchema, SettingsError, Unreachable
from worker.model.states import State
from worker.services import accounts, damage, labels, parked_messages, retention, status
from worker.services.doctor import (
    broker_checks,
    experiment_checks,
    http_checks,
    metastudio_checks,
    receipt_checks,
    redis_checks,
    topology_checks,
    webhook_checks,
)
from worker.services.doctor.check import Check, Level, clock_check, ok, warning, wrong
from worker.services.redis_ping import require_redis
from worker.services.workers import hanging

SHOWN = 5  # of damaged entries
SCHEMA = "schema version"
PATIENCE_S = 10.0  # for one call to MetaStudio, because a person waits


def settings_checks(app: AppContext) -> Iterator[Check]:
    """The effective settings, secrets masked."""
    for name, value, origin in app.settings.describe():
        if name == "ERASER_LEASE" and app.settings.lease <= WORKER_TIMEOUT_S:
            why = f"not longer than the {WORKER_TIMEOUT_S:g} s after which a worker counts as lost"
            todo = "set it to more than 30s; otherwise a deletion that kills its workers is retried until its deadline"
            yield warning(name, f"{value} ({origin}); {why}: nothing ends as worker_lost", todo)
        else:
            yield ok(name, f"{value} ({origin})")
    if app.settings.ca_bundle is not None:
        yield metastudio_checks.trusted_cas(app.settings.ca_bundle)
    yield from http_checks.look(app)


def checks(app: AppContext, *, offline: bool) -> Iterator[Check]:
    """All checks except the settings, ordered by their dependencies."""
    there = _reachable(app)
    yield there
    if there.unreachable:
        yield warning("the rest", "not checked: broker, workers, clocks and credentials", "Redis first")
        return
    yield from _redis(app)
    schema = _schema(app)
    yield schema
    if schema.verdict is Level.WRONG:
        yield warning("the rest", "not checked", "the schema version first")
        return
    yield from broker_checks.look(app)
    yield from _work(app)
    if offline:
        yield ok("credentials", "not tried (--offline)")
        return
    short = min(PATIENCE_S, app.settings.call_timeout)
    read_timeout = min(short, app.settings.read_timeout)
    quick = AppContext(replace(app.settings, call_timeout=short, read_timeout=read_timeout), app.environ)
    for account in app.settings.accounts.values():
        yield from metastudio_checks.look(quick, account)


def _reachable(app: AppContext) -> Check:
    try:
        require_redis(app.redis_url)
    except Unreachable as error:
        return Check("redis", Level.WRONG, str(error), "start it, or set ERASER_REDIS_URL", unreachable=True)
    return ok("redis", f"answers at {masked(app.redis_url)}")


def _redis(app: AppContext) -> Iterator[Check]:
    try:
        address = parse_redis_url(app.redis_url)
        answers = topology_checks.pinged(app.redis)
        yield from topology_checks.servers(app.redis, address, answers)
        for of, server in topology_checks.each(app.redis, answers):
            for check in (*redis_checks.look(server), *topology_checks.primary(server, app.settings.redis_replicas)):
                yield replace(check, name=check.name + of)
            seconds, micros = server.time()
            apart = seconds + micros / 1_000_000 - time.time()
            yield clock_check(f"clock of Redis{of}", apart, "Redis's clock", "set the clocks of both machines by NTP")
        yield from redis_checks.commands(app.redis, app.keys.workers)
    except redis.RedisError as error:
        yield wrong("redis", f"it stopped answering ({type(error).__name__})", "try again")


def _schema(app: AppContext) -> Check:
    try:
        app.check_schema()
        refuse_distant_workers(app.redis, app.keys)
        running = {VERSION, *versions(app.redis, app.keys).values()}
    except OtherSchema as error:
        return wrong(SCHEMA, str(error), "see docs/upgrading.md")
    except Unreachable as error:
        return warning(SCHEMA, str(error), "try again")
    found = ", ".join(map(str, sorted(running)))
    return ok(SCHEMA, f"{found}: an update is under way" if len(running) > 1 else found)


# -- workers and waiting work ------------------------------------------------------------------------------------------


def _work(app: AppContext) -> Iterator[Check]:
    try:
        view = status.look(app)
    except Unreachable as error:
        yield wrong("workers", str(error), "try again")
        return
    silent = len(view.workers) - view.at_work
    also = f"; {silent} silent for more than 30 s" if silent else ""
    if view.at_work:
        yield ok("workers", f"{labels.count(view.at_work, 'worker')}, {labels.count(view.threads, 'thread')}{also}")
    else:
        waits = view.every[State.PENDING]
        verdict = Level.WRONG if view.due else Level.WARNING
        found = f"none was seen in the last 30 s{also}" + (f", and {waits:,} wait" if waits else "")
        yield Check("workers", verdict, found, f"start one: {status.START}{hanging(view.workers)}")
    if view.clocks:
        yield wrong("clocks of workers", view.clocks, "set the clocks of these machines by NTP")
    elif view.at_work:
        yield ok("clocks of workers", "agree with Redis's")
    yield from _addresses(app, view)
    yield _retention(app)
    for named in app.settings.accounts.values():
        yield from experiment_checks.look(app, named)
    yield from receipt_checks.look(app, view.not_archived)
    yield from webhook_checks.look(app)
    for account in view.accounts:
        yield _gate(account.gate)
        for one in account.gate.closures:
            if one.scope == "project":
                todo = "check the project's id and the key's rights there; to withdraw requests: eraser cancel"
                yield wrong(f"project {one.name}", labels.closure(one, view.now), todo)
    yield from _damage(app)
    if dead := view.every[State.DEAD]:
        yield warning("dead letters", labels.count(dead, "dead letter"), "eraser dead groups")
    else:
        yield ok("dead letters", "none")
    kinds = parked_messages.by_kind(view.parked)
    if not kinds:
        yield ok("parked messages", "none: every message was recorded")
    for kind, number in kinds.items():
        found = f"{labels.count(number, 'message')} {parked_messages.WHY[kind]}"
        yield warning("parked messages", found, "eraser parked list")


def _damage(app: AppContext) -> Iterator[Check]:
    """Damage to the ledger by other programs, one line each."""
    found = list(damage.each(app))
    if not found:
        yield ok("ledger", "nothing in it is damaged")
    for one in found[:SHOWN]:
        yield wrong("ledger", labels.plain(f"{one.name}: {one.why}"), labels.plain(damage.what_to_do(one)))
    if len(found) > SHOWN:
        yield wrong("ledger", f"{len(found) - SHOWN} more were damaged", "eraser damaged list")


def _addresses(app: AppContext, view: status.Overview) -> Iterator[Check]:
    for account in accounts.overviews(app, view.accounts):
        name = f"address of {account.account}"
        if error := account.elsewhere:
            yield wrong(name, f"the ledger's is {error.bound}, ours {error.ours}", str(error))
        elif account.ledger_endpoint is None:
            yield ok(name, "the ledger has none yet: it keeps the first one used")
        else:
            yield ok(name, f"the ledger belongs to {account.ledger_endpoint}")
    for stray in view.strays:
        yield wrong(f"project {stray.project}", str(stray), stray.command)
    for gone in view.abandoned:
        left = f"{gone.deletions:,} deletions and {gone.holds:,} holds"
        found = f"it is gone from the settings, and {left} are still there"
        todo = "eraser accounts list, then eraser accounts move PROJECT --to ACCOUNT; or put it back into ERASER_CONFIG"
        yield wrong(f"account {gone.account}", found, todo)


def _retention(app: AppContext) -> Check:
    try:
        policies = app.policies.current()
    except SettingsError as error:
        return wrong("retention", str(error), f"correct {app.settings.config}")
    if not policies:
        return ok("retention", "no policy")
    scheduled = sum(policy.schedule is not None for policy in policies.values())
    number = labels.count(len(policies), "policy", "policies")
    if scheduled and (why := retention.standstill(app)):
        todo = "run one beat (celery -A worker beat, or eraser up); each worker needs ERASER_CONFIG"
        return wrong("retention", f"{number}; {why}", todo)
    return ok("retention", f"{number}, {scheduled or 'none'} by schedule")


_GATES = {  # what to do about a gate that is not open
    "paused": (Level.WARNING, "eraser resume --account {account} --reason R"),
    "credentials": (Level.WRONG, "set credentials that MetaStudio accepts, then eraser resume --reason R"),
    "misconfigured": (Level.WRONG, "check region, project and permissions, then eraser resume --reason R"),
    "clock": (Level.WARNING, "set the clock of this machine by NTP"),
}
_BY_ITSELF = (Level.WARNING, "nothing: calls resume by themselves when MetaStudio accepts them")


def _gate(gate: Gate) -> Check:
    name, found = f"gate of {gate.account}", labels.GATES.get(gate.gate, gate.gate)
    found += f" ({labels.plain(gate.reason)})" if gate.reason else ""
    if gate.gate == "ok":
        return ok(name, found)
    verdict, todo = _GATES.get(gate.gate, _BY_ITSELF)
    return Check(name, verdict, found, todo.format(account=gate.account))
