"""What a process keeps out of everything that it writes down, and for how long."""

from __future__ import annotations

from worker.config import known_secrets


def test_the_two_versions_before_stay_known_also_where_they_had_more_secrets() -> None:
    for n in range(4):
        known_secrets.add("file", f"access-{n}", f"sign-{n}", *([f"token-{n}"] if n < 2 else []))
        known_secrets.add("file", f"access-{n}", f"sign-{n}", *([f"token-{n}"] if n < 2 else []))
        known_secrets.add("file")  # it is empty for a moment
    assert known_secrets.known() == {
        *("access-1", "sign-1", "token-1"),
        *("access-2", "sign-2"),
        *("access-3", "sign-3"),
    }
