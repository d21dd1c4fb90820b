"""A real Chromium, whose absence is a skip at home and a failure in CI. SCREENSHOTS=DIR keeps what it saw."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.acceptance.fleet import Fleet
from worker.interfaces.console import sessions

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
NAMES = ("chromium", "chromium-browser", "google-chrome")
PATIENCE_MS = 120_000  # far more than anything takes; only a fault of ours reaches it
LINK = re.compile(r"http://\S+/login\?link=\S+")
SESSIONS: dict[str, str] = {}  # by the console's address: of whoever opened its one-time link
WIDE, PHONE = {"width": 1200, "height": 820}, {"width": 360, "height": 740}


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        missing = "no Chromium on PATH: on Debian or Ubuntu, apt-get install chromium"
        pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)
    with sync_playwright() as playwright:
        expect.set_options(timeout=PATIENCE_MS)
        browser = playwright.chromium.launch(executable_path=found, args=FLAGS, timeout=PATIENCE_MS)
        yield browser
        browser.close()


@dataclass
class Visitor:
    """One person's browser window on one console. What a browser complains about fails the test."""

    page: Page
    url: str
    screenshots: Path | None

    def open(self, path: str) -> Page:
        self.page.goto(self.url + path)
        return self.page

    def keep(self, name: str, *, whole: bool = False) -> None:
        """A screenshot, for whoever wants to see one: to draw a page costs more than to judge it."""
        if self.screenshots:
            self.page.screenshot(path=self.screenshots / f"{name}.png", full_page=whole)


@pytest.fixture
def context(chromium: Browser) -> Iterator[Visits]:
    screenshots = Path(os.environ["SCREENSHOTS"]) if os.environ.get("SCREENSHOTS") else None
    if screenshots:
        screenshots.mkdir(parents=True, exist_ok=True)
    visits = Visits(chromium, screenshots)
    yield visits
    for context in visits.contexts:
        context.close()
    assert visits.complaints == []


class Visits:
    """`visit(url)` opens a window; `dark=True`, `size=PHONE`, `script=False`, `signed_in=False` make it another one.

    What the browser says comes when it likes, before or after the answer that it is about: a test that provokes a
    complaint says so beforehand, by a part of its text in `foreseen`.
    """

    def __init__(self, chromium: Browser, screenshots: Path | None) -> None:
        self._chromium = chromium
        self.screenshots = screenshots
        self.contexts: list[BrowserContext] = []
        self.complaints: list[str] = []
        self.foreseen: list[str] = []

    def _hear(self, complaint: str) -> None:
        if not any(part in complaint for part in self.foreseen):
            self.complaints.append(complaint)

    def __call__(
        self,
        url: str,
        *,
        dark: bool = False,
        size: dict[str, int] | None = None,
        script: bool = True,
        signed_in: bool = True,
        zone: str | None = None,
    ) -> Visitor:
        context = self._chromium.new_context(
            color_scheme="dark" if dark else "light",
            viewport=size or WIDE,
            java_script_enabled=script,
            timezone_id=zone,
        )
        context.set_default_timeout(PATIENCE_MS)
        if signed_in and url in SESSIONS:
            context.add_cookies([{"name": sessions.COOKIE, "value": SESSIONS[url], "url": url}])
        self.contexts.append(context)
        page = context.new_page()
        page.on("console", lambda complaint: self._hear(complaint.text))
        page.on("pageerror", lambda error: self._hear(str(error)))
        return Visitor(page, url, self.screenshots)


def start_console(fleet: Fleet, **environ: str) -> str:
    """`eraser console` as a process of its own; its address."""
    words = [Path(sys.executable).with_name("eraser"), "console", "--port", "0"]
    process = fleet.start(f"console-{len(fleet.others)}", words, env=fleet.env | environ)
    addresses: list[str] = []
    fleet.wait(
        lambda: (
            addresses.extend(re.findall(r'"address": "(http://[^"]+)"', process.text)) or addresses or not process.alive
        ),
        "the console says where it listens",
    )
    assert process.alive, process.text
    fleet.wait(lambda: responses(addresses[0]), "the console answers")
    if "ERASER_CONSOLE_PASSWORD" not in environ:
        opened = httpx2.get(link_of(fleet, addresses[0]), timeout=30)
        SESSIONS[addresses[0]] = opened.cookies[sessions.COOKIE]
    return addresses[0]


def link_of(fleet: Fleet, url: str) -> str:
    """A one-time link, as `eraser console link` prints it."""
    printed = fleet.run(Path(sys.executable).with_name("eraser"), "console", "link", "--url", url)
    assert printed.returncode == 0, printed.stderr
    (link,) = LINK.findall(printed.stdout)
    return str(link)


def responses(url: str) -> bool:
    try:
        return httpx2.get(f"{url}/readyz", timeout=30).status_code == 200
    except httpx2.HTTPError:
        return False
