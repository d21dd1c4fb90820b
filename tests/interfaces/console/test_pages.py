"""The console's pages: what they say of an empty ledger and a full one, and what stands on none of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.archives import leave
from tests.support.console_pages import Console, links, walk, words
from tests.support.dead_letters import PROJECT, Undertaker
from tests.support.erasures import erased
from worker.interfaces.console import PAGES, sessions
from worker.ledger.holds import HoldList
from worker.model.states import State
from worker.model.target import Target
from worker.services import certificate_forms, filters

PHONE, USER, PASSWORD = "13800138000", "u-13800138000", "a-password-of-the-console"
SECRETS = {"HUAWEICLOUD_SDK_AK": "CANARYACCESSKEY00000", "HUAWEICLOUD_SDK_SK": "canary-secret-key-0123456789abcdef"}
EMPTY = {
    "/": "No deletion has been requested yet. Start with: eraser request JOB_ID",
    "/gate": "open",
    "/dead": "No dead letters: nothing needs a person.",
    "/deletions": "No deletion is in this state.",
    "/deletions?state=dead": "No dead letters: nothing needs a person.",
    "/replays": "No replay yet",
    "/holds": "Nothing is on hold",
    "/retention": "No run yet.",
    "/audit": "No actions yet",
    "/webhooks": "Nothing was sent yet.",
    "/parked": "Nothing is parked: every message was recorded.",
    "/find?job=unheard-of": "Unknown job: unheard-of",
}


@pytest.fixture
def full(console: Console, undertaker: Undertaker) -> Console:
    """Something in every state, with what must not be shown planted wherever it may be said."""
    undertaker.end("good", to="deleted", claim={"app_user": USER})
    undertaker.end("bad-1", "bad-2", claim={"app_user": USER, "by": "svc-1", "why": "T-1"})
    undertaker.end("refused", cause="refused", status=403, code="APIGW.0302", message="<b>not</b> allowed")
    undertaker.end("absent", to="gone", evidence="never_seen", status=404, code=None)
    undertaker.end("given-up")
    undertaker.ledger.discard([Target(PROJECT, "given-up")], why="T-2", by="ops-7")
    undertaker.request("waits", "held", "cancelled", app_user=USER)
    undertaker.ledger.cancel([Target(PROJECT, "cancelled")], why="T-3", by="ops-7")
    holds = HoldList(undertaker.ledger)
    holds.add([Target(PROJECT, "held")], why="CASE-12", by="legal-3")
    holds.add_user(USER, why="CASE-13", by="legal-3")
    return console


# -- what they say -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", EMPTY)
def test_an_empty_ledger_is_said_in_words(console: Console, path: str) -> None:
    assert EMPTY[path] in console.text(path)


def test_what_is_archived_is_counted_beside_the_list_and_found_by_its_id(
    console: Console, undertaker: Undertaker, tmp_path: Path
) -> None:
    undertaker.end("one", "two", to="deleted")
    leave(undertaker, tmp_path, 2)
    for path in ("/deletions?state=deleted", f"/deletions?state=deleted&project={PROJECT}"):
        text = console.text(path)
        assert "2 archived deletions are not listed: search for its whole id to see one." in text
        assert "No deletion is in this state." not in text
    for path in ("/deletions?state=gone", "/deletions?state=deleted&project=other"):
        assert "No deletion is in this state." in console.text(path)
    assert console.get("/find?job=one").headers["location"] == f"/deletions/{PROJECT}/one"
    assert "receipt 1, in the files of the workers" in console.text(f"/deletions/{PROJECT}/one")


def test_every_page_of_the_menu_is_there(console: Console) -> None:
    menu = links(console.get("/").text)
    assert {view.path for page in PAGES for view in page.VIEWS if view.show and "{" not in view.path} <= {
        *menu, "/login", "/find", "/replays/new", "/back", "/parked", "/webhooks/new", "/back/request",
        "/related/erase", "/deletions/selected", "/request", "/receipts/export", "/receipts/verify"}  # fmt: skip


def test_the_overview_says_what_to_do_next_and_leads_there(full: Console) -> None:
    text = full.text("/")
    assert "1 deletion waiting, but no worker is running" in text
    assert "3 dead letters need a person" in text
    assert 'href="/dead">Show the dead letters' in full.get("/").text


def test_what_is_due_without_a_worker_that_was_ever_heard_of_is_said(console: Console, undertaker: Undertaker) -> None:
    undertaker.request("job-1")
    assert "celery -A worker worker" in console.text("/")


def test_the_overview_counts_every_state_and_draws_the_last_hour(full: Console) -> None:
    page = full.get("/").text
    for state, number in full.app.queries("default").status().states.items():
        assert re.search(rf'id="state-{state}".*?<b>{number}</b>', page, re.S), state
    assert "2 deleted or gone, 4 died" in page  # given up since, but it died
    assert page.count('<rect class="well"') >= 1
    assert re.search(r"Rate: \d+ in the last whole minute, [\d.]+ a second", words(page))
    rate = full.app.queries("default").gate().rate
    assert f"Limit: {rate:g} calls a second, {round(rate * 60):,} a minute." in words(page)


def test_causes_are_cards_with_what_to_do(full: Console) -> None:
    text = full.text("/dead")
    assert "3 dead letters in 2 groups" in text
    assert text.index("server_error-500-MSS.00000004") < text.index("refused-403-APIGW.0302"), "the largest comes first"
    assert "replay when MetaStudio has recovered" in text


def test_a_group_has_its_letters(full: Console) -> None:
    text = full.text("/dead/server_error-500-MSS.00000004")
    assert "bad-1" in text
    assert "bad-2" in text
    assert "refused" not in text
    assert "State Ended Deadline" in text


def test_a_group_that_is_no_more_is_said_so(full: Console) -> None:
    response = full.get("/dead/server_error-502")
    assert response.status_code == 404
    assert "is empty now" in words(response.text)


def test_a_list_is_chosen_by_its_address(full: Console) -> None:
    assert "bad-1" in full.text("/deletions?state=dead&job=bad")
    assert "refused" not in full.text("/deletions?state=dead&job=bad")
    assert "None of them matches these filters" in full.text("/deletions?state=dead&job=none")
    response = full.get("/deletions?state=dead&since=yesterday")
    assert response.status_code == 422
    assert "since: " in words(response.text)


def test_a_list_has_the_filters_of_the_command_line_and_names_the_project(full: Console) -> None:
    page = full.get("/deletions?state=all&by=svc-*&reason=T-1&erasure=&order=asc").text
    assert re.findall(r">(bad-\d)</a>", page) == ["bad-1", "bad-2"]
    assert set(re.findall(r'data-name="Project">([^<]+)<', page)) == {PROJECT}
    assert "9 in all states" in words(page)
    form = page.partition('<form class="card filters"')[2].partition("</form>")[0]
    assert set(re.findall(r' name="([a-z_]+)"', form)) == {*filters.EVERY} - {"group"}
    assert '<details class="more" open>' in form
    assert ">waits</a>" in full.get("/deletions?waiting_for=turn").text
    assert "waiting_for: expected one of turn" in words(full.get("/deletions?waiting_for=godot").text)
    assert "<option selected>dead,gone</option>" in full.get("/deletions?state=dead,gone").text


@pytest.mark.parametrize(
    ("query", "dates"),
    [
        ("state=pending,held", "Due"),
        ("state=all&waiting_for=turn", "Due"),
        ("state=dead,gone", "Ended"),
        ("state=pending,dead", "Due or ended"),
        ("state=all", "Due or ended"),
    ],
)
def test_the_dates_of_a_list_are_called_what_they_are(full: Console, query: str, dates: str) -> None:
    headings = re.findall(r'<th scope="col">([^<]+)</th>', full.get(f"/deletions?{query}").text)
    assert headings[2:5] == ["State", dates, "Deadline"]


def test_a_list_goes_on_page_by_page(console: Console, undertaker: Undertaker) -> None:
    undertaker.end(*[f"job-{n:03d}" for n in range(120)])
    path, found = "/deletions?state=dead&job=job-", set()
    for _ in range(3):
        page = console.get(path).text
        found |= set(re.findall(r">(job-\d+)</a>", page))
        path = next((to for to in links(page) if "from=" in to), "")
    assert len(found) == 120
    assert path == ""


def test_a_deletion_is_told_from_its_request_to_its_end(full: Console) -> None:
    text = full.text(f"/deletions/{PROJECT}/bad-1")
    assert "dead needs a person" in text
    assert "attempt 1: 500 MSS.00000004 after 41 ms → failed" in text
    assert "requested by svc-1: T-1" in text
    assert f"eraser dead replay bad-1 --project {PROJECT}" in text


def test_foreign_text_is_shown_and_never_obeyed(full: Console) -> None:
    page = full.get(f"/deletions/{PROJECT}/refused").text
    assert "&lt;b&gt;not&lt;/b&gt; allowed" in page


@pytest.mark.parametrize("job", ["unheard-of", "..", "a b", "x" * 65])
def test_a_job_that_nobody_knows_is_said_in_words(full: Console, job: str) -> None:
    response = full.client.get("/find", params={"job": job})
    assert response.status_code in (200, 422)
    assert "Unknown job" in words(response.text) or "a job id is" in words(response.text)


def test_find_leads_to_the_job(full: Console) -> None:
    assert full.get("/find?job=bad-1").headers["location"] == f"/deletions/{PROJECT}/bad-1"


def test_holds_say_who_and_why_but_not_whose(full: Console) -> None:
    text = full.text("/holds")
    assert "CASE-12" in text
    assert re.search(r"app user #[0-9a-f]{8} ", text)


def test_an_address_that_there_is_not_is_a_page_for_people_and_a_problem_for_programs(console: Console) -> None:
    response = console.get("/nowhere", Accept="text/html,*/*")
    assert (response.status_code, "There is no page at this address" in response.text) == (404, True)
    assert console.get("/nowhere", Accept="application/json").json()["status"] == 404


def test_redis_away_is_said_and_asked_again(redis_url: str) -> None:
    console = Console("redis://127.0.0.1:1/0", signed_in=False)
    console.client.cookies.set(sessions.COOKIE, "0" * 64)
    with console.client:
        response = console.get("/")
        assert (response.status_code, "Redis is away" in response.text) == (503, True)
        part = console.get("/", **{"HX-Request": "true"})
        assert (part.status_code, "Trying again" in part.text) == (200, True)
        assert "then try again" not in part.text, "it is said once"
        plan = console.get("/replays/new?group=g", **{"HX-Request": "true"}).text
        assert "Trying again" in plan
        assert 'hx-get="/replays/new?group=g"' in plan, "and so it does"


def test_a_plan_of_a_group_that_has_gone_is_not_asked_for_again(console: Console) -> None:
    plan = console.get("/replays/new?group=server_error", **{"HX-Request": "true"}).text
    assert "server_error" in plan
    assert "hx-get" not in plan
    assert "Trying again" not in plan


def test_of_several_accounts_each_has_its_gate_and_all_share_the_lists(redis_url: str, tmp_path: Path) -> None:
    file = tmp_path / "accounts.toml"
    text = '[accounts.{0}]\nregion = "cn-north-4"\nprojects = ["{0}-p"]\n'
    file.write_text(text.format("east") + text.format("west"))
    console = Console(redis_url, environ={"ERASER_CONFIG": str(file), "ERASER_REGION": ""})
    for name in ("east", "west"):
        Undertaker(redis_url, account=name, project=f"{name}-p").end(f"job-of-{name}")
    with console.client:
        console.send("/gate/west/pause", reason="T-1", by="ops-7")
        text = console.text("/gate")
        assert re.search(r"Account east open .* Account west paused by an operator", text)
        assert "west is paused" in console.text("/")
        assert "2 dead letters in 1 group" in console.text("/dead")
        assert {"job-of-east", "job-of-west"} <= set(console.text("/deletions?state=dead").split())
        assert console.get("/find?job=job-of-west").headers["location"] == "/deletions/west-p/job-of-west"
        assert "(account west)" in console.text("/deletions/west-p/job-of-west")
        assert "account west" in console.text("/audit")


def test_of_many_accounts_those_that_are_not_open_come_first(redis_url: str, tmp_path: Path) -> None:
    file = tmp_path / "accounts.toml"
    table = '[accounts.{0}]\nregion = "cn-north-4"\nprojects = ["{0}-p"]\n'
    file.write_text("".join(table.format(name) for name in ("a1", "a2", "a3", "a4", "west")))
    console = Console(redis_url, environ={"ERASER_CONFIG": str(file), "ERASER_REGION": ""})
    Undertaker(redis_url, account="a1", project="a1-p").request("waits")
    with console.client:
        assert "5 accounts, all open. 1 due, the oldest for" in console.text("/")
        console.send("/gate/west/pause", reason="T-1", by="ops-7")
        text = console.text("/")
        assert "5 accounts, 1 not open." in text
        assert (text.count("Pause…"), text.count("Resume…")) == (0, 1)
        assert re.search(r"Account west paused by an operator .* Account a1 open", console.text("/gate"))


# -- what stands on every page, and on none ----------------------------------------------------------------------------


def everywhere(console: Console) -> Iterator[tuple[str, str, str]]:
    """(address, page, headers) of every page that there is."""
    yield from walk(console, "/", f"/deletions/{PROJECT}/good", *EMPTY, *(f"/deletions?state={s}" for s in State))


def test_no_planted_secret_or_phone_number_stands_on_any_page(redis_url: str, full: Console) -> None:
    console = Console(redis_url, environ={**SECRETS, "ERASER_CONSOLE_PASSWORD": PASSWORD})
    with console.client:
        response = console.send("/login", password=PASSWORD, by="ops-7")
        assert response.status_code == 200
        sent = console.send("/holds", to="/holds", app_user=USER, jobs="", reason="no, this is wrong!", by="ops-7")
        assert sent.status_code == 422, "an app user that was typed must not come back"
        pages = [("a refused form", sent.text, str(sent.headers)), *everywhere(console)]
    for canary in (PHONE, USER, PASSWORD, *SECRETS.values()):
        assert [path for path, text, headers in pages if canary in text + headers] == []


def pages(console: Console) -> Iterator[tuple[str, str, str]]:
    """The same without what a browser saves as a file and never shows as one of ours."""
    for path, text, headers in everywhere(console):
        if "/certificate?form=" not in path:
            yield path, text, headers
        else:
            assert "attachment; filename=" in headers, path


def test_every_page_can_be_read_aloud_and_reached_by_keys(full: Console) -> None:
    for path, text, _ in pages(full):
        if "<html" not in text:
            continue
        assert '<html lang="en">' in text, path
        assert text.count("<h1") == 1, path
        assert '<a class="skip" href="#main">' in text, path
        assert re.search(r"<title>[^<]+ · avatar-eraser</title>", text), path
        named = set(re.findall(r'<label[^>]* for="([^"]+)"', text))
        fields = re.findall(r'<(?:input|select|textarea)(?![^>]*type="hidden")[^>]* id="([^"]+)"', text)
        assert set(fields) <= named, path
        assert all('scope="' in cell for cell in re.findall(r"<th[ >][^>]*>", text)), path
        ids = re.findall(r' id="([^"]+)"', text)
        assert len(ids) == len(set(ids)), path


def test_no_page_loads_or_runs_anything_that_is_not_ours(full: Console) -> None:
    for path, text, headers in pages(full):
        assert "default-src 'none'" in headers, path
        assert "unsafe" not in headers, path
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:|hx-on", text), path
        assert not re.search(r'(?:src|href|action)="(?:https?:)?//', text), path
        assert all("src=" in tag for tag in re.findall(r"<script[^>]*>", text)), path


def test_what_never_changes_may_be_kept_for_ever_and_pages_never(console: Console) -> None:
    page = console.get("/")
    assert page.headers["cache-control"] == "no-store"
    files = [to for to in links(page.text) if to.startswith("/static/")]
    assert len(files) == 5
    for to in files:
        response = console.get(to)
        assert (response.status_code, "immutable" in response.headers["cache-control"]) == (200, True)
    (htmx,) = [to for to in files if "htmx" in to]
    assert "Zero-Clause BSD" in console.get(htmx).text[:200]


# -- a certificate -----------------------------------------------------------------------------------------------------


def test_a_deletion_that_has_ended_has_a_certificate_to_read_and_to_save(full: Console) -> None:
    one = f"/deletions/{PROJECT}/good"
    assert f'href="{one}/certificate"' in full.get(one).text
    text = full.text(f"{one}/certificate")
    assert "Certificate of deletion" in text
    assert "The avatar training job good was deleted." in text
    assert USER not in full.get(f"{one}/certificate").text
    for form in ("html", "txt", "json"):
        saved = full.get(f"{one}/certificate?form={form}")
        assert saved.status_code == 200
        assert saved.headers["content-disposition"] == f'attachment; filename="certificate-good.{form}"'
        assert USER not in saved.text
        found = certificate_forms.verified(saved.content, key=None)
        assert found is not None
        assert found[1].receipt["job_id"] == "good"


def test_what_has_not_ended_has_no_certificate(full: Console) -> None:
    one = f"/deletions/{PROJECT}/waits"
    assert "/certificate" not in full.get(one).text
    response = full.get(f"{one}/certificate")
    assert response.status_code == 404, response.text
    assert "There is no receipt of job waits" in response.text
    assert full.get(f"/deletions/{PROJECT}/good/certificate?form=doc").status_code == 404


def test_the_page_of_a_deletion_says_what_it_left_behind(console: Console, undertaker: Undertaker) -> None:
    erased(undertaker, "job-1")
    text = console.text(f"/deletions/{PROJECT}/job-1")
    assert "partial: something was left behind" in text
    assert "voice job v-1: still there (it names no training job)" in text


def test_the_page_of_a_deletion_that_left_something_behind_names_the_command(
    console: Console, undertaker: Undertaker
) -> None:
    erased(undertaker, "good")
    page = words(console.text(f"/deletions/{PROJECT}/good"))
    assert f"eraser related erase good --project {PROJECT} --reason TICKET" in page
    assert "Nothing to do" not in page
    undertaker.end("other", to="deleted")
    assert "Nothing to do: it is finished." in words(console.text(f"/deletions/{PROJECT}/other"))


def test_holds_go_on_page_by_page_whatever_is_removed_meanwhile(console: Console, undertaker: Undertaker) -> None:
    holds = HoldList(undertaker.ledger)
    jobs = [f"job-{n:03d}" for n in range(250)]
    holds.add([Target(PROJECT, job) for job in jobs], why="CASE-12", by="legal-3")
    assert "250 holds" in console.text("/holds")
    path, found = "/holds", []
    while path:
        page = console.get(path).text
        found += re.findall(r">(job-\d+)</a>", page)
        holds.remove([Target(PROJECT, job) for job in found], why="CASE-12", by="legal-3")
        path = next((to for to in links(page) if "from=" in to), "")
    assert found == sorted(jobs)
    wrong = console.get("/holds?from=elsewhere")
    assert (wrong.status_code, "no place in a list of ours" in wrong.text) == (422, True)


def test_what_was_left_behind_goes_on_page_by_page_with_its_filters(console: Console, undertaker: Undertaker) -> None:
    for n in range(120):
        erased(undertaker, f"job-{n:03d}")
    path, found = f"/related?project={PROJECT}", set()
    while path:
        page = console.get(path).text
        assert "120 jobs" in page
        found |= set(re.findall(r">(job-\d+)</a>", page))
        path = next((to for to in links(page) if "from=" in to and f"project={PROJECT}" in to), "")
    assert len(found) == 120
