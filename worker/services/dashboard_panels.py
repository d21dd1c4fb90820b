"""What the dashboard for Grafana shows: rows of panels, each with its queries. `dashboard` gives them their form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from worker.services.metrics import PREFIX


@dataclass(frozen=True, slots=True)
class Series:
    """A query in PromQL, and how the legend names what it finds."""

    query: str
    legend: str


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel. warn, bad: from which value on it is yellow, or red."""

    title: str
    about: str
    series: Sequence[Series]
    unit: str = "short"
    kind: str = "timeseries"
    width: int = 8
    stacked: bool = False
    warn: float | None = None
    bad: float | None = None


def _select(name: str, labels: dict[str, str]) -> str:
    """A metric of the chosen accounts. A label's value may be several words, with | between them."""
    chosen = ['account=~"$account"', *(f'{label}{"=~" if "|" in v else "="}"{v}"' for label, v in labels.items())]
    return f"{PREFIX}{name}{{{','.join(chosen)}}}"


def _now(how: str, name: str, *by: str, **labels: str) -> Series:
    """The sum or the greatest of a gauge, for each value of some labels."""
    return _by(how, by, _select(name, labels))


def _per(unit: str, name: str, *by: str, **labels: str) -> Series:
    """How often something happened per minute or per second, for each value of some labels."""
    found = _by("sum", by, f"rate({_select(name, labels)}[$__rate_interval])")
    return replace(found, query=f"{found.query} * 60") if unit == "minute" else found


def _by(how: str, by: Sequence[str], query: str) -> Series:
    groups = f" by ({', '.join(by)}) " if by else ""
    return Series(f"{how}{groups}({query})", ", ".join(f"{{{{{label}}}}}" for label in by))


def _whole(name: str, legend: str) -> Series:
    """A gauge without labels."""
    return Series(PREFIX + name, legend)


def _number(title: str, about: str, series: Series, unit: str = "short", **limits: float) -> Panel:
    return Panel(title, about, [replace(series, legend=title)], unit, "stat", width=3, **limits)  # type: ignore[arg-type]


_EVENTS, _CALLS = "events_total", "attempts_total"
_ENDS = "deletion.deleted|deletion.gone|deletion.died|deletion.cancelled|deletion.discarded"
_OF_THE_ACCOUNT = "throttled|credentials|clock|forbidden|misconfigured"
_SLOWEST = "histogram_quantile({}, {})"
_DURATIONS = _per("second", "call_seconds_bucket", "le").query

ROWS: Final[dict[str, list[Panel]]] = {
    "Now": [
        _number("Ledger answers", "Whether the ledger's Redis answers.", _whole("up", ""), "bool_yes_no"),
        _number("Workers", "Seen in the last 30 seconds.", _whole("workers", "")),
        _number("Waiting or running", "Not those on hold.", _now("sum", "deletions", state="pending|running")),
        _number(
            "A person waits",
            "How long the oldest due deletion of the user lane has been due.",
            _now("max", "oldest_due_age_seconds", lane="user"),
            "s",
            warn=30,
            bad=120,
        ),
        _number("Dead letters", "They need a person: eraser dead groups", _now("sum", "dead_letters"), warn=1),
        _number(
            "Left something behind",
            "Deleted jobs whose model or voice is still there: eraser related list --left",
            _now("sum", "erasures", verdict="partial|incomplete"),
            warn=1,
        ),
        _number(
            "Came back",
            "Deleted jobs that MetaStudio has again: eraser receipts back list",
            _now("sum", "came_back_jobs"),
            bad=1,
        ),
        _number(
            "Damaged entries",
            "Of the ledger, by another program: eraser damaged list",
            _now("sum", "damaged_entries"),
            bad=1,
        ),
    ],
    "Deletions": [
        Panel(
            "Requests",
            "Per minute: new ones, merged with an open one, in a new round (again), or already done.",
            [_per("minute", _EVENTS, "detail", event="deletion.requested")],
            "cpm",
        ),
        Panel("Ends", "Per minute.", [_per("minute", _EVENTS, "event", event=_ENDS)], "cpm"),
        Panel(
            "Open deletions",
            "By state.",
            [_now("sum", "deletions", "state", state="pending|running|held")],
            stacked=True,
        ),
        Panel("Dead letters by cause", "docs/states.md", [_now("sum", "dead_letters", "cause")], stacked=True),
        Panel(
            "Gone, by evidence",
            "Per minute: jobs that were not there, and how sure that is.",
            [_per("minute", _EVENTS, "detail", event="deletion.gone")],
            "cpm",
        ),
        Panel(
            "Finished records",
            "By state, while they are kept.",
            [_now("sum", "deletions", "state", state="deleted|gone|dead|cancelled|discarded")],
            stacked=True,
        ),
    ],
    "Lanes": [
        Panel("Due deletions", "Pending and due now.", [_now("sum", "due_deletions", "lane")], width=12),
        Panel(
            "Age of the oldest due deletion",
            "0: none is due.",
            [_now("max", "oldest_due_age_seconds", "account", "lane")],
            "s",
            width=12,
        ),
    ],
    "Accounts": [
        Panel(
            "Gates",
            "The state of each account's gate. Calls are made at ok and clock.",
            [Series(f"{_now('max', 'gate', 'account', 'gate').query} == 1", "{{account}}: {{gate}}")],
            kind="status-history",
        ),
        Panel(
            "Calls by account",
            "DELETE calls per second, and the rate that the gate allows.",
            [
                _per("second", _CALLS, "account"),
                Series(_now("max", "rate_calls_per_second", "account").query, "{{account}}, allowed"),
            ],
            "cps",
        ),
        Panel("Calls by outcome", "docs/metrics.md", [_per("second", _CALLS, "outcome")], "cps", stacked=True),
        Panel(
            "Duration of a call",
            "Of the fastest 50, 95 and 99 of 100 DELETE calls the slowest.",
            [Series(_SLOWEST.format(share, _DURATIONS), f"{share:.0%}") for share in (0.5, 0.95, 0.99)],
            "s",
        ),
        Panel(
            "Answers about the account",
            "Per minute: too many calls, a refused key, a wrong clock, missing rights, a wrong project or region.",
            [_per("minute", _CALLS, "account", "outcome", outcome=_OF_THE_ACCOUNT)],
            "cpm",
        ),
        Panel(
            "Settings and ledger disagree",
            "Accounts with another address, accounts gone from the settings, projects of another account: "
            "eraser accounts list",
            [
                _whole("accounts_elsewhere", "accounts elsewhere"),
                _whole("accounts_gone", "accounts gone"),
                _whole("projects_elsewhere", "projects elsewhere"),
            ],
        ),
    ],
    "Whole erasures": [
        Panel("Verdicts", "docs/related.md", [_now("sum", "erasures", "verdict")], width=12, stacked=True),
        Panel(
            "Deletions of what was left behind",
            "Models and voices, by state.",
            [_now("sum", "parts", "state")],
            width=12,
            stacked=True,
        ),
    ],
    "Webhooks": [
        Panel(
            "Webhook messages",
            "Per minute: made, delivered, given up (dead), and attempts that failed. docs/webhooks.md",
            [_per("minute", "webhook_messages_total", "endpoint", "result")],
            "cpm",
            width=6,
        ),
        Panel(
            "Waiting for their endpoint",
            "Messages that no endpoint accepted yet.",
            [_now("sum", "webhook_messages_waiting", "endpoint")],
            width=6,
        ),
        Panel(
            "Age of the oldest waiting message",
            "0: none waits.",
            [_now("max", "webhook_oldest_waiting_seconds", "endpoint")],
            "s",
            width=6,
        ),
        Panel(
            "Given up",
            "Messages that were not delivered: eraser webhooks replay",
            [_now("sum", "webhook_messages_dead", "endpoint")],
            width=6,
        ),
    ],
    "Workers and Redis": [
        Panel(
            "Workers and threads",
            "Seen in the last 30 seconds, and the calls that they can make at the same time.",
            [
                _whole("workers", "workers"),
                _whole("worker_threads", "threads"),
                _whole("dispatcher", "one of them dispatches"),
            ],
        ),
        Panel(
            "Lost leases and late answers",
            "Per minute: leases that ran out, and answers that came after that.",
            [_per("minute", _EVENTS, "event", "detail", event="deletion.lost|deletion.stale_result")],
            "cpm",
        ),
        Panel("Wake-ups", "Per second.", [_per("second", "wakeups_total", "account")], "cps"),
        Panel(
            "Memory of Redis",
            "At 85 % of the limit requests are refused. Limit 0: none is set.",
            [_whole("redis_memory_bytes", "used"), _whole("redis_memory_limit_bytes", "limit")],
            "bytes",
        ),
        Panel(
            "Parked messages",
            "They could not be recorded: eraser parked list",
            [Series(f"sum by (kind) ({PREFIX}parked_messages)", "{{kind}}")],
        ),
        Panel(
            "Retention that stopped",
            "1: a cap stopped the policy's last run, or scheduled runs are off.",
            [_now("max", "sweep_stopped", "policy"), _whole("schedule_stopped", "schedule")],
        ),
    ],
}
