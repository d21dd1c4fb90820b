"""A harmless list that tries whether what is closed may open, or whether a key is valid."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

from worker.config.clock import elapsed
from worker.execution.key_budget import KeyBlocked
from worker.ledger.types import GateSignal, Lease, Trial, Tried
from worker.lookups.renewal import with_new_token
from worker.metastudio.client import Client
from worker.metastudio.response import Listing
from worker.model.errors import EraserError
from worker.rules import gate_signals

log = logging.getLogger(__name__)


def try_closed(remote: Client, trial: Trial, *, key: str, home: str | None, account: str) -> Tried:
    """Request one list as a probe: may a closed gate open, and is this key valid? Never raises."""
    project = home if trial.own and home else trial.project_id
    if project is None:
        return Tried(trial.name, "", GateSignal("fail", key=key, why="no project is known to ask for"), trial.kind)
    try:
        listing = _ask(remote, trial, project)
        signal = gate_signals.of_listing(listing, trial, key)
    except KeyBlocked:  # its record says so, and the account's gate was told
        signal = GateSignal("none", key=key)
    except EraserError as error:
        signal = GateSignal("fail", key=key, why=str(error)[:200])
    except Exception as error:
        log.exception("gate.not_tried", extra={"account": account})
        signal = GateSignal("fail", key=key, why=f"internal error: {type(error).__name__}")
    log.info("gate.tried", extra={"account": account, "outcome": signal.kind, "error": signal.why})
    return Tried(trial.name, project, signal, trial.kind)


def _ask(remote: Client, trial: Trial, project_id: str) -> Listing:
    """The probe's list; repeated once if only the token had expired."""

    def question() -> Listing:
        signed_at = signing_time(remote, trial)
        return remote.ask(project_id, kind=trial.kind, rows=1, signed_at=signed_at, quota=True)

    return with_new_token(remote, question)


def signing_time(remote: Client, under: Lease | Trial) -> datetime | None:
    """MetaStudio's time if known; None: use this machine's clock."""
    if under.skew_ms is None:
        return None
    passed = (elapsed() - under.taken) * 1000
    now = datetime.fromtimestamp((under.redis_ms + passed + under.skew_ms) / 1000, UTC)
    remote.note_time(now, (under.skew_ago_ms + passed) / 1000)
    return now
