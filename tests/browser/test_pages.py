"""Each page and dialog in a real browser: it fits a phone, can be read aloud, and needs no mouse.

`PAGES` has an address for every route, `FORMS` the pages that only a form leads to. A route without an address fails.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect
from playwright.sync_api import Route as Intercepted
from starlette.routing import Match, Route

from tests.acceptance.fleet import Fleet
from tests.browser.conftest import PHONE, Visitor, Visits, start_console
from tests.interfaces.cli.test_parked import park
from tests.interfaces.cli.test_webhooks import give_up
from tests.support.dead_letters import Undertaker
from tests.support.erasures import PARTS, erased
from worker.config.api_tokens import Scope, make, section
from worker.config.token_file import TokenFile
from worker.execution.app_context import AppContext
from worker.interfaces.console import PAGES as CONSOLE
from worker.ledger import rechecks
from worker.ledger.holds import HoldList
from worker.ledger.parking import ParkedKind, Parking
from worker.ledger.replays import Replays
from worker.ledger.runs import Run, Runs
from worker.model.states import State
from worker.model.target import Target
from worker.services import webhook_endpoints
from worker.services.act import Approval
from worker.simulator import DEMO_PROJECT
from worker.webhooks.signing import new_secret

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
    "replay-one": f"{ONE}/replay",
    "related": "/related",
    "related-erase-all": "/related/erase",
    "related-restore": f"/deletions/{DEMO_PROJECT}/{LEFT}/related-restore",
    "back": "/back",
    "back-request": "/back/request",
    "a-replay": "/replays/replay-1",
    "replay-cancel": "/replays/replay-1/cancel",
    "hold-remove": f"/holds/{DEMO_PROJECT}/0c{'0' * 30}/remove",
    "one-left": f"/deletions/{DEMO_PROJECT}/{LEFT}",
    "related-erase": f"/deletions/{DEMO_PROJECT}/{LEFT}/related-erase",
    "holds": "/holds",
    "retention": "/retention",
    "policy": "/retention/policies/failed-trainings?whole=1",
    "run": "/retention/runs/failed-trainings-20261120-033000-ab10",
    "run-cancel": "/retention/runs/failed-trainings-20261120-033000-ab10/cancel",
    "receipts": "/receipts",
    "receipts-verify": "/receipts/verify",
    "tokens": "/tokens",
    "token-rotate": "/tokens/shop/rotate",
    "token-revoke": "/tokens/shop/revoke",
    "audit": "/audit",
    "webhooks": "/webhooks",
    "webhook-new": "/webhooks/new",
    "webhook-edit": "/webhooks/shop/edit",
    "webhook-rotate": "/webhooks/shop/rotate",
    "webhook-remove": "/webhooks/shop/remove",
    "webhook-replay": "/webhooks/crm/replay",
    "webhook-replay-one": "/webhooks/crm/{message}/replay",
    "parked": "/parked",
    "parked-group": f"/parked/refused:{DEMO_PROJECT}",
    "parked-send": "/parked/foreign:shop.mail/send",
    "parked-discard": "/parked/bad:eraser.delete/discard",
    "reference": "/openapi",
    "not-found": "/find?job=nothing",
}
ELSEWHERE = {"/login": "the tests of signing in", "/receipts/export": "a file to save, no page"}
LOOKS = ("dark", "phone", *(["light"] if os.environ.get("SCREENSHOTS") else []))  # the phone is light
WHO = {"reason": "TICKET-4711", "by": "ops-7"}
FORMS = {  # name -> the page with the form, what is typed, the button, and the heading that it leads to
    "request-plan": ("/request", {"jobs": "0e00 0e01 ../x"}, "Show the plan", "Request 2 deletions"),
    "request-refused": ("/request", {"jobs": "0e00", "project": "a b"}, "Show the plan", "Request deletions"),
    "refused": (f"{ONE}/discard", {"reason": "asked by 0171 2345678", "by": "ops-7"}, "Discard", f"Discard {JOB}"),
    "token-made": ("/tokens/shop/rotate", WHO, "Make the new secret", "Tokens"),
    "webhook-secret": ("/webhooks/shop/rotate", WHO | {"overlap": "24h"}, "Make the new secret", "The secret of shop"),
    "webhook-refused": ("/webhooks/shop/edit", {"url": "https://10.0.0.1/"} | WHO, "Change it", "Edit shop"),
    "holds-done": ("/holds", {"jobs": "0e00 ../x"} | WHO, "Put on hold", "Holds"),
    "verified": ("/receipts/verify", {}, "Verify", "Receipts"),
}


def addresses(message: str) -> dict[str, str]:
    return {name: path.replace("{message}", message) for name, path in PAGES.items()}


def test_every_route_of_the_console_has_an_address_here() -> None:
    routes = [Route(view.path, print) for page in CONSOLE for view in page.VIEWS if view.show]
    visited = set(ELSEWHERE)
    for path in addresses("msg_1").values():
        scope = {"type": "http", "method": "GET", "path": path.partition("?")[0], "root_path": ""}
        visited |= {next((one.path for one in routes if one.matches(scope)[0] is Match.FULL), path)}
    assert {one.path for one in routes} - visited == set()


@dataclass
class House:
    """A console over a ledger in which something stands everywhere. No worker: nothing moves."""

    url: str
    fleet: Fleet
    message: str  # the id of a message to a webhook

    @property
    def pages(self) -> dict[str, str]:
        return addresses(self.message)


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
        came_back(undertaker)
        replays = Replays(undertaker.ledger)
        replays.snapshot("replay-1", [Target(DEMO_PROJECT, "0b" + "0" * 30)])
        replays.start(replays.terms("replay-1", why="T-1", by="ops-7", what="all", groups={}, mark=1, deadline_s=60))
        for kind, what in ((ParkedKind.REFUSED, DEMO_PROJECT), (ParkedKind.FOREIGN, "shop.mail")):
            park(Parking(undertaker.redis), kind, what, 3)
        park(Parking(undertaker.redis), ParkedKind.BAD, "eraser.delete", 2, raw=False)
        folder = tmp_path_factory.mktemp("settings")
        (folder / "eraser.toml").write_text(POLICY + receiver(folder))
        token, _ = make("shop", [Scope.REQUEST])
        TokenFile(folder / "tokens.toml").add(token, section(token, datetime.now(UTC)))
        environ = {"ERASER_CONFIG": str(folder / "eraser.toml"), "ERASER_WEBHOOKS_KEY": new_secret()}
        environ |= {"ERASER_API_TOKENS_FILE": str(folder / "tokens.toml")}
        app = AppContext.load(fleet.env | environ)
        webhook_endpoints.add(app, "shop", "https://shop.example.com/hooks", [], [], Approval("ops-7", "TICKET-4711"))
        (message, *_) = give_up(undertaker, *[f"0f{n:030x}" for n in range(3)])
        yield House(start_console(fleet, **environ), fleet, message)


def came_back(undertaker: Undertaker) -> None:
    rechecks.record(undertaker.ledger, None, {Target(DEMO_PROJECT, f"0{1:031x}"): "back"}, looks=[None])


def receiver(folder: Path) -> str:
    """An endpoint of the file."""
    (folder / "crm.secret").write_text(new_secret())
    return '[webhooks.crm]\nurl = "https://crm.example.com/hooks"\nsecret_files = ["crm.secret"]\n'


@pytest.mark.parametrize("look", LOOKS)
def test_each_page_fits_its_window_and_can_be_read_aloud(context: Visits, state: House, look: str) -> None:
    window = context(state.url, dark=look == "dark", size=PHONE if look == "phone" else None)
    for name, path in state.pages.items():
        window.open(path)
        judge(window, f"{name}-{look}")


def judge(window: Visitor, name: str) -> None:
    """Both colours and both sizes are judged."""
    page = window.page
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth"), name
    window.keep(name, whole=True)
    if not name.endswith("light"):
        found = Axe().run(page)
        assert found.violations_count == 0, f"{name}: {found.generate_report()}"


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("name", FORMS)
def test_what_a_form_leads_to_is_reached_by_keys_and_judged_alike(
    context: Visits, state: House, name: str, look: str, tmp_path: Path
) -> None:
    context.foreseen.append("422 (Unprocessable")
    path, typed, button, heading = FORMS[name]
    window = context(state.url, dark=look == "dark", size=PHONE if look == "phone" else None)
    page = window.open(path)
    for field, text in typed.items():
        focus(page, f'[name="{field}"]:not([type="hidden"])')
        page.keyboard.press("ControlOrMeta+A")
        page.keyboard.insert_text(text)
    if name == "verified":
        (file := tmp_path / "receipts.jsonl").write_text("{}\n")
        drop(page, file)
    focus(page, f'main button:text-is("{button}"), main button:text-matches("^{button} ")')
    enter(page)
    expect(page.get_by_role("heading", level=1)).to_have_text(heading)
    judge(window, f"{name}-{look}")


def focus(page: Page, selector: str) -> None:
    """Press Tab until what the selector finds first has the focus."""
    wanted = page.locator(selector).first
    for _ in range(200):
        if wanted.evaluate("one => one === document.activeElement"):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"no Tab leads to {selector}")


def drop(page: Page, file: Path) -> None:
    """Drop a file from the desktop on the page's field."""
    page.locator('input[type="file"]').scroll_into_view_if_needed()
    box = page.locator('input[type="file"]').bounding_box()
    assert box
    at = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
    data = {"items": [], "files": [str(file)], "dragOperationsMask": 1}
    devtools = page.context.new_cdp_session(page)
    while not page.locator('input[type="file"]').input_value():
        for kind in ("dragEnter", "dragOver", "drop"):
            devtools.send("Input.dispatchDragEvent", {"type": kind, "data": data, **at})
            page.evaluate("new Promise(requestAnimationFrame)")  # the page takes note of it


NEXT = """() => {
  const one = document.activeElement
  if (one === document.body) return [null, true]
  const first = !one.dataset.reached
  one.dataset.reached = 'yes'
  const style = getComputedStyle(one)
  const box = one.getClientRects()[0]
  const on_top = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2)
  const open = one.contains(on_top) || (on_top && on_top.contains(one))  // nothing that sticks lies on it
  return [first, open && style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0]
}"""
MISSED = """() => [...document.querySelectorAll('a[href], button, input, select, textarea, summary')]
  .filter(one => one.checkVisibility({visibilityProperty: true}) && !one.disabled && one.type !== 'hidden')
  .filter(one => !(one.type === 'radio' && !one.checked) && !one.dataset.reached && one.tabIndex >= 0)
  .map(one => one.outerHTML.slice(0, 120))"""


@pytest.mark.parametrize("name", PAGES)
def test_keys_alone_lead_to_everything_on_each_page_and_one_sees_where_they_are(
    context: Visits, state: House, name: str
) -> None:
    page = context(state.url).open(state.pages[name])
    page.locator(".skip").focus()  # the first of each page, wherever the focus is when it opens
    while True:
        first, visible = page.evaluate(NEXT)
        assert visible, page.evaluate("document.activeElement.outerHTML")
        if not first:  # the end of the page, or its beginning again
            break
        page.keyboard.press("Tab")
    assert page.evaluate(MISSED) == []


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
    for name in ("several", "token-rotate", "token-revoke", "webhook-rotate", "webhook-remove", "parked-discard"):
        page.goto(state.url + PAGES[name])
        assert page.evaluate("document.activeElement.id") == "reason", name


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

    def lose_the_first(route: Intercepted) -> None:
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


def test_parked_messages_are_sent_to_the_broker_again(context: Visits, state: House) -> None:
    client = state.fleet.ledger.client
    park(Parking(client), ParkedKind.FAULT, "eraser.delete", 2)
    page = context(state.url).open("/parked/fault:eraser.delete/send")
    for name, text in WHO.items():
        page.locator(f'[name="{name}"]').fill(text)
    page.get_by_role("button", name="Send them").click()
    expect(page.get_by_role("status")).to_have_text("2 messages sent to eraser.")
    assert client.llen("eraser") == 2
    client.delete("eraser")


def test_an_endpoint_is_made_and_removed_by_keyboard_alone(context: Visits, state: House) -> None:
    page = context(state.url).open("/webhooks")
    tab_to(page, "New endpoint…")
    enter(page)
    for name, text in {"name": "till", "url": "https://till.example.com/hooks", **WHO}.items():
        focus(page, f'[name="{name}"]')
        page.keyboard.insert_text(text)
    tab_to(page, "Make it")
    enter(page)
    expect(page.locator("#secret")).to_contain_text("whsec_")
    tab_to(page, "Continue")
    enter(page)
    expect(page.get_by_role("row", name="till")).to_contain_text("ledger")
    page.goto(f"{state.url}/webhooks/till/remove")
    page.keyboard.insert_text("TICKET-4711")
    tab_to(page, "Remove it")
    enter(page)
    expect(page.get_by_role("status")).to_have_text("The endpoint till is removed.")
