"""Do the clocks agree? Redis's and each worker's, as the workers say: who is wrong, and what stands still meanwhile."""

from __future__ import annotations

from collections.abc import Iterable

from worker.config.clock import SAME_S
from worker.services.labels import count
from worker.services.times import span

STANDS_STILL = "no grace or hold ends, no deadline applies, and deletions of lost workers are not rescued"


def why_apart(apart: Iterable[tuple[str, float | None]]) -> str | None:
    """What is wrong, in one sentence; None: nothing. apart: workers that live, and how far Redis's clock is ahead of
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
