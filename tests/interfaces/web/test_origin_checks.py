"""Host, Origin and Sec-Fetch-Site: our own names and no others; no other site changes anything."""

from __future__ import annotations

import pytest

from worker.interfaces.web.origin_checks import comes_from_elsewhere, is_local, is_ours

ALLOWED = ("eraser.example.com", "console")


@pytest.mark.parametrize(
    "host",
    ["localhost", "127.0.0.1:8710", "127.9.9.9", "[::1]:8710", "LOCALHOST:1", "eraser.example.com:443", "console"],
)
def test_our_own_names_are_ours(host: str) -> None:
    assert is_ours(host, ALLOWED)


@pytest.mark.parametrize(
    "host",
    [
        *(
            "",
            "evil.example",
            "eraser.example.com.evil.example",
            "evil-localhost",
            "localhost.evil.example",
            "10.0.0.1",
        ),
        *(
            "127.0.0.1.evil.example",
            "user@localhost",
            "localhost:x",
            "localhost:123456",
            "local host",
            "[::2]",
            "0.0.0.0",
        ),
        *("[::1", "localhost/x", "console,evil.example", "localhost:80:80", "2130706433", "0x7f000001"),
    ],
)
def test_any_other_name_is_not(host: str) -> None:
    assert not is_ours(host, ALLOWED)


def test_a_name_that_was_allowed_is_not_this_machine() -> None:
    assert is_local("127.0.0.1:8710")
    assert not is_local("eraser.example.com")


@pytest.mark.parametrize(
    ("origin", "site", "elsewhere"),
    [
        (None, None, False),  # a program
        ("http://127.0.0.1:8710", "same-origin", False),
        ("http://127.0.0.1:8710", None, False),
        (None, "none", False),  # typed by the person
        ("https://evil.example", None, True),
        ("https://evil.example", "cross-site", True),
        (None, "cross-site", True),
        (None, "same-site", True),
        ("null", None, True),
        ("http://127.0.0.1:9999", None, True),  # another server of this machine
        ("http://127.0.0.1:8710.evil.example", None, True),
        ("http://[", None, True),
        ("", None, True),
    ],
)
def test_another_site_may_look_but_not_touch(origin: str | None, site: str | None, elsewhere: bool) -> None:
    host = "127.0.0.1:8710"
    assert comes_from_elsewhere("POST", host, origin=origin, site=site) is elsewhere
    assert comes_from_elsewhere("DELETE", host, origin=origin, site=site) is elsewhere
    assert not comes_from_elsewhere("GET", host, origin=origin, site=site)
