"""A certificate in a real browser: the page of the console, and the file that is handed over and printed."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from tests.acceptance.fleet import Fleet
from tests.browser.conftest import PHONE, Visits, start_console
from tests.receipts.test_archiving import settle
from tests.support.dead_letters import Undertaker
from tests.support.erasures import erased
from tests.support.receipt_keys import Keys, new_keys
from worker.ledger.receipts import DAY_MS
from worker.receipts.archiving import archive_day
from worker.receipts.certificate import verify
from worker.services import certificate_forms
from worker.simulator import DEMO_PROJECT

JOB = "0f3a61c2b7d04e5f9a1b2c3d4e5f6071"
PAGES = re.compile(rb"/Type /Pages.*?/Count (\d+)", re.S)


class Handed:
    """A console that signs, with a day of a thousand receipts in its files, and the certificate of one of them."""

    def __init__(self, fleet: Fleet, folder: Path) -> None:
        self.keys: Keys = new_keys(folder, "receipts")
        undertaker = Undertaker(fleet.redis_server.url, project=DEMO_PROJECT)
        day = int(time.time() * 1000) // DAY_MS - 3
        self.jobs = settle(undertaker, day, 1000)
        erased(undertaker, JOB, claim={"by": "svc-privacy", "why": "TICKET-4711"})
        archive_day(undertaker.ledger, folder / "receipts", now_ms=(day + 1) * DAY_MS + 5, signer=self.keys[0])
        files = {"ERASER_RECEIPTS_DIR": folder / "receipts", "ERASER_RECEIPT_KEY_FILE": folder / "receipts.key"}
        self.url = start_console(fleet, **{name: str(path) for name, path in files.items()})

    def path(self, job: str) -> str:
        return f"/deletions/{DEMO_PROJECT}/{job}/certificate"


@pytest.fixture(scope="module")
def handed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Handed]:
    with Fleet() as fleet:
        fleet.adds_up = False  # nobody was ever called
        yield Handed(fleet, tmp_path_factory.mktemp("certificates"))


def save(page: Page, form: str, folder: Path) -> Path:
    with page.expect_download() as download:
        page.get_by_role("link", name=f"Save as {form.upper()}").click()
    file = folder / download.value.suggested_filename
    download.value.save_as(file)
    return file


@pytest.mark.parametrize("which", ["archived", "of today"])
def test_the_file_that_is_saved_is_read_aloud_printed_on_one_sheet_and_verified(
    context: Visits, handed: Handed, tmp_path: Path, which: str
) -> None:
    job = handed.jobs[500] if which == "archived" else JOB
    window = context(handed.url)
    file = save(window.open(handed.path(job)), "html", tmp_path)
    found = certificate_forms.read(file.read_bytes())
    assert found is not None
    assert verify(found[1], key=handed.keys[1]).size == (1000 if which == "archived" else None)
    window.page.goto(file.as_uri())
    assert Axe().run(window.page).violations_count == 0
    weight = window.page.evaluate("getComputedStyle(document.querySelector('header')).borderLeftWidth")
    assert weight == "5px", "its own policy let its style in"
    window.keep(f"certificate-file-{which.replace(' ', '-')}", whole=True)
    sheet = window.page.pdf(prefer_css_page_size=True)
    assert PAGES.search(sheet)[1] == b"1"  # type: ignore[index]
    if window.screenshots:
        (window.screenshots / f"certificate-{which.replace(' ', '-')}.pdf").write_bytes(sheet)
    window.page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    assert window.page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


@pytest.mark.parametrize("look", ["light", "dark", "phone"])
def test_the_page_of_the_console_fits_and_prints_without_its_menu(context: Visits, handed: Handed, look: str) -> None:
    window = context(handed.url, dark=look == "dark", size=PHONE if look == "phone" else None)
    page = window.open(handed.path(handed.jobs[500]))
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    assert Axe().run(page).violations_count == 0
    window.keep(f"certificate-page-{look}", whole=True)
    page.emulate_media(media="print")
    for selector in ("header.top", "footer", ".certificate .button"):
        assert not page.locator(selector).first.is_visible()
    window.keep(f"certificate-page-{look}-printed", whole=True)
    assert page.get_by_text("Certificate of a request that ended without a deletion").first.is_visible()
