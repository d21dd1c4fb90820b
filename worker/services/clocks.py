"""Do Redis's clock and the workers' clocks agree? If not: which is wrong, and what does not happen in the meantime."""

from __future__ import annotations

from collections.abc import Iterable

from worker.config.clock import SAME_S
from worker.services.labels import count
from worker.services.times import span

STANDS_STILL = "no grace or hold ends, no deadline applies, and deletions of lost workers are not rescued"


def why_apart(apart: Iterable[tuple[str, float | None]]) -> str | None:
    """The problem in one sentence; None: there is none. apart: running workers, and how far Redis's clock is ahead of
    theirs, in seconds."""
    known = [(worker, ahead_s) for worker, ahead_s in apart if ahead_s is not None]
    wrong = [(worker, ahead_s) for worker, ahead_s in known if abs(ahead_s) > SAME_S]
    if not wrong:
        return None
    worker, ahead_s = max(wrong, key=lambda one: abs(one[1]))
    if len(wrong) == len(known):
        how = f"Redis's clock is {span(ahead_s)} {'ahead of' if ahead_s > 0 else 'behind'}"
        return f"{how} that of {'the worker' if len(known) == 1 else 'every worker'}; until they agree {STANDS_STILL}"
    how = f"{span(ahead_s)} {'behind' if ahead_s > 0 else 'ahead of'} Redis's"
    others = f"and {count(len(wrong) - 1, 'other')} " if len(wrong) > 1 else ""
    return f"the clock of worker {worker} {others}is {how}, while the others agree: it releases and ends nothing itself"
