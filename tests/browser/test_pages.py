"""Each page and dialog in a real browser: it fits a phone, can be read aloud, and needs no mouse."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, Route, expect

from tests.acceptance.fleet import Fleet
from tests.browser.conftest import PHONE, Visits, start_console
from tests.support.dead_letters import Undertaker
from tests.support.erasures import PARTS, erased
from worker.ledger.holds import HoldList
from worker.ledger.runs import Run, Runs
from worker.model.states import State
from worker.model.target import Target
from worker.simulator import DEMO_PROJECT

GROUP = "server_error-500-MSS.00000004"
POLICY = f"""[policies.failed-trainings]
projects = ["{DEMO_PROJECT}"]
states = ["TRAIN_FAILED"]
older_than = "1h"
max_jobs = 50
"""
JOB, LEFT = "0f3a61c2", "0e3a61c2b7d04e5f9a1b2c3d4e5f6071"
ONE = f"/deletions/{DEMO_PROJECT}/{JOB}"
PAGES = {
    "overview": "/",
    "gate": "/gate",
    "pause": "/gate/default/pause",
    "dead": "/dead",
    "group": f"/dead/{GROUP}",
    "discard-group": f"/dead/{GROUP}/discard",
    "replay": f"/replays/new?group={GROUP}",
    "replays": "/replays",
    "deletions": "/deletions?state=dead&job=0",
    "list": "/deletions?state=all",
    "several": "/deletions/selected?do=discard&which=all&state=dead&job=0a",
    "several-left-out": f"/deletions/selected?do=hold&one={DEMO_PROJECT}/{JOB}&one={DEMO_PROJECT}/0{0:031x}",
    "request": "/request?jobs=0f3a61c2",
    "one": ONE,
    "certificate": f"/deletions/{DEMO_PROJECT}/0{0:031x}/certificate",
    "discard": f"{ONE}/discard",
    "hold": f"{ONE}/hold",
    "related": "/related",
    "one-left": f"/deletions/{DEMO_PROJECT}/{LEFT}",
    "related-erase": f"/deletions/{DEMO_PROJECT}/{LEFT}/related-erase",
    "holds": "/holds",
    "retention": "/retention",
    "policy": "/retention/policies/failed-trainings?whole=1",
    "run": "/retention/runs/failed-trainings-20261120-033000-ab10",
    "run-cancel": "/retention/runs/failed-trainings-20261120-033000-ab10/cancel",
    "receipts": "/receipts",
    "tokens": "/tokens",
    "audit": "/audit",
    "webhooks": "/webhooks",
    "reference": "/openapi",
    "not-found": "/find?job=nothing",
}


@dataclass
class House:
    """A console over a ledger in which something stands everywhere. No worker: nothing moves."""

    url: str
    fleet: Fleet


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with Fleet() as fleet:
        fleet.adds_up = False  # nobody was ever called
        undertaker = Undertaker(fleet.redis_server.url, project=DEMO_PROJECT)
        erased(undertaker, LEFT, parts=[one | {"named_by": "job", "project_id": DEMO_PROJECT} for one in PARTS])
        ending = {"claim": {"by": "svc-cleanup", "why": "TICKET-4700"}, "message": "internal error, please retry"}
        undertaker.end(*[f"0{n:031x}" for n in range(70)], to="deleted")
        undertaker.end(*[f"0a{n:030x}" for n in range(120)], JOB, **ending)
        undertaker.end(*[f"0b{n:030x}" for n in range(3)], cause="refused", status=403, code="APIGW.0302")
        undertaker.request(*[f"0c{n:030x}" for n in range(40)], why="T-7")
        HoldList(undertaker.ledger).add([Target(DEMO_PROJECT, "0c" + "0" * 30)], why="CASE-12", by="legal-3")
        run = Run("failed-trainings-20261120-033000-ab10", "failed-trainings", "650714d83093", "default", 1.8e12)
        run = replace(run, listed=40_210, selected=1_300, requested=1_300, by="ops-7")
        Runs(undertaker.ledger).write(run)
        undertaker.ledger.pause(why="TICKET-4711", by="ops-7")
        undertaker.ledger.resume(why="TICKET-4711", by="ops-7")
        fleet.plant(*[f"0d{n:030x}" for n in range(60)], state="TRAIN_FAILED", created_at=1.7e9)
        policy = tmp_path_factory.mktemp("policies") / "eraser.toml"
        policy.write_text(POLICY)
        yield House(start_console(fleet, ERASER_CONFIG=str(policy)), fleet)


@pytest.mark.parametrize("look", ["light", "dark", "phone"])
def test_each_page_fits_its_window_and_can_be_read_aloud(context: Visits, state: House, look: str) -> None:
    window = context(state.url, dark=look == "dark", size=PHONE if look == "phone" else None)
    for name, path in PAGES.items():
        page = window.open(path)
        assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth"), name
        window.keep(f"{name}-{look}", whole=True)
        if look != "light":  # the phone is light: both colours and both sizes are judged
            found = Axe().run(page)
            assert found.violations_count == 0, f"{name}: {found.generate_report()}"


def focused(page: Page) -> str:
    return str(page.evaluate("document.activeElement.innerText || document.activeElement.name || ''")).strip()


def tab_to(page: Page, text: str) -> None:
    """Press Tab until something with this text has the focus, which can be seen."""
    for _ in range(60):
        page.keyboard.press("Tab")
        if focused(page).startswith(text):
            style = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert style != "none", f"nobody sees that {text} has the focus"
            return
    raise AssertionError(f"no Tab leads to {text!r}")


def enter(page: Page) -> None:
    with page.expect_navigation():
        page.keyboard.press("Enter")


def test_a_letter_is_discarded_and_restored_by_keyboard_alone(context: Visits, state: House) -> None:
    page = context(state.url).open("/")
    page.keyboard.press("Tab")
    assert focused(page) == "Skip to the content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    page.goto(state.url + ONE)
    for button, does, expected in (("Discard…", "Discard", State.DISCARDED), ("Restore…", "Restore", State.DEAD)):
        tab_to(page, button)
        enter(page)
        tab_to(page, "reason")
        page.keyboard.type("TICKET-4711")
        tab_to(page, "by")
        page.keyboard.type("ops-7") if expected is State.DISCARDED else None
        tab_to(page, does)
        enter(page)
        expect(page.locator(".state .badge")).to_have_text(expected.value)
        assert state.fleet.state(JOB) is expected


def test_everything_works_without_javascript(context: Visits, state: House) -> None:
    page = context(state.url, script=False).open("/gate")
    for verb, does, gate in (("Pause…", "Pause now", "paused"), ("Resume…", "Resume", "ok")):
        page.get_by_role("link", name=verb).click()
        page.get_by_label("Reason").fill("TICKET-4711")
        page.get_by_label("Who you are").fill("ops-7")
        page.get_by_role("button", name=does).click()
        expect(page.get_by_role("status")).to_be_visible()
        assert state.fleet.queries.gate().gate == gate
    assert page.goto(state.url + PAGES["replay"])
    expect(page.get_by_role("button", name="Start the replay")).to_be_visible()


def test_the_overview_changes_by_itself_and_keeps_the_focus(context: Visits, state: House) -> None:
    page = context(state.url).open("/")
    tab_to(page, "Pause…")
    state.fleet.ledger.pause(why="CASE-9", by="ops-8")
    expect(page.get_by_text("CASE-9 (by ops-8)", exact=True)).to_be_visible()
    expect(page.get_by_text("default is paused by an operator")).to_be_visible()
    state.fleet.ledger.resume(why="CASE-9", by="ops-8")
    expect(page.get_by_text("CASE-9 (by ops-8)")).to_have_count(0)


def test_a_page_that_hears_nothing_says_that_it_is_old_until_it_does(context: Visits, state: House) -> None:
    context.foreseen += ["htmx:", "Failed to load resource"]
    page = context(state.url).open("/")
    old = page.get_by_text("this page is out of date")
    expect(old).to_be_hidden()
    page.route(f"{state.url}/", lambda route: route.abort())
    expect(old).to_be_visible()
    page.unroute(f"{state.url}/")
    expect(old).to_be_hidden()


def test_the_time_here_stands_beside_utc(context: Visits, state: House) -> None:
    page = context(state.url, zone="Asia/Shanghai").open(ONE)
    expect(page.locator(".timeline .at").first).to_contain_text(re.compile(r"UTC \(.* here\)"))
    expect(page.locator("time[title]").first).to_have_attribute("title", re.compile(r"UTC, .* here$"))
    page.goto(state.url + "/")
    expect(page.locator(".head time")).to_contain_text("here")
    utc = context(state.url, zone="UTC").open(ONE)
    expect(utc.locator("time[data-local]").first).to_be_attached()
    expect(utc.get_by_text(" here)")).to_have_count(0)


def test_a_dialog_opens_with_the_focus_on_its_reason(context: Visits, state: House) -> None:
    page = context(state.url).open(f"{ONE}/discard")
    assert page.evaluate("document.activeElement.id") == "reason"
    page.goto(state.url + PAGES["several"])
    assert page.evaluate("document.activeElement.id") == "reason"


def test_several_are_chosen_and_held_by_keyboard_alone(context: Visits, state: House) -> None:
    page = context(state.url).open(f"/deletions?state=pending&job=0c{'0' * 29}&order=asc")
    for _ in range(2):
        tab_to_row(page)
        page.keyboard.press("Space")
    tab_to(page, "Hold…")
    enter(page)
    expect(page.get_by_role("heading", name="Put 2 deletions on hold")).to_be_visible()
    page.keyboard.type("CASE-13")
    tab_to(page, "by")
    page.keyboard.type("legal-3")
    tab_to(page, "Put on hold")
    enter(page)
    expect(page.get_by_role("status")).to_have_text("2 deletions on hold.")


def tab_to_row(page: Page) -> None:
    """Press Tab until the next row's box has the focus."""
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.name") == "one":
            return
    raise AssertionError("no Tab leads to a row")


def test_all_of_a_page_are_ticked_at_once(context: Visits, state: House) -> None:
    page = context(state.url).open("/deletions?state=dead&job=0a")
    page.get_by_label("tick all of this page").check()
    assert page.locator('input[name="one"]:checked').count() == 50
    assert context(state.url, script=False).open("/deletions?state=dead").get_by_label("tick all").is_hidden()


def test_a_page_of_another_site_can_do_nothing_here(context: Visits, state: House) -> None:
    """A form on another site, sent by this very browser, with its cookies if it likes."""
    context.foreseen.append("403 (Forbidden)")
    page = context(state.url).open("/")
    form = f'<form method="post" action="{state.url}/gate/default/pause"><input name="reason" value="T-1">'
    body = f'{form}<input name="by" value="evil"><button>Win a prize</button></form>'
    page.route("http://evil.test/*", lambda route: route.fulfill(content_type="text/html", body=body))
    page.goto("http://evil.test/")
    with page.expect_response(f"{state.url}/gate/default/pause") as response:
        page.get_by_role("button").click()
    assert response.value.status == 403
    assert state.fleet.queries.gate().gate == "ok"


def test_where_a_password_is_set_it_opens_and_signing_out_closes(context: Visits, state: House) -> None:
    password = "correct horse battery staple"
    window = context(start_console(state.fleet, ERASER_CONSOLE_PASSWORD=password))
    page = window.open("/dead")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    assert Axe().run(page).violations_count == 0
    window.keep("sign-in")
    tab_to(page, "by")
    page.keyboard.type("ops-7")
    tab_to(page, "password")
    page.keyboard.type(password)
    enter(page)
    expect(page.get_by_role("heading", name="Dead letters")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("status")).to_have_text("You are signed out.")
    page.go_back()
    page.reload()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_without_a_password_the_printed_link_opens_it(context: Visits, state: House) -> None:
    context.foreseen.append("403 (Forbidden)")
    window = context(state.url, signed_in=False, dark=True, size=PHONE)
    page = window.open("/dead")
    expect(page.get_by_role("heading", name="Open the one-time link")).to_be_visible()
    assert Axe().run(page).violations_count == 0
    window.keep("link-phone")
    link = state.fleet.command("console", "link", "--url", state.url)
    page.goto(link.stdout.strip())
    expect(page.get_by_role("heading", name="What now")).to_be_visible()
    assert "link=" not in page.url
    other = context(state.url, signed_in=False).page
    other.goto(link.stdout.strip())
    expect(other.get_by_role("alert")).to_contain_text("used already")


def test_what_is_long_comes_in_the_end_though_its_first_answer_is_lost(context: Visits, state: House) -> None:
    undertaker = Undertaker(state.fleet.redis_server.url, project=DEMO_PROJECT)
    undertaker.end(*[f"d{n:04d}" for n in range(1100)], cause="deadline", status=503, code=None)
    context.foreseen += ["htmx:", "Failed to load resource"]
    page = context(state.url).open("/")
    lost: list[str] = []

    def lose_the_first(route: Route) -> None:
        if route.request.headers.get("hx-request") and not lost:
            lost.append(route.request.url)
            route.abort()
        else:
            route.continue_()

    page.route("**/replays/new*", lose_the_first)
    page.goto(f"{state.url}/replays/new?group=deadline-503")
    expect(page.get_by_role("heading", name="The plan: 1,100 dead letters begin a new round")).to_be_visible()
    expect(page.get_by_label("Type 1100")).to_be_visible()
    expect(page.get_by_text("this page is out of date")).to_be_hidden()
    assert lost, "it was asked for twice"
