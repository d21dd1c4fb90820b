"""Who may act in the console: this browser, from our own pages, signed in where a password is set. Nobody else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import quote, urlencode

import pytest

from tests.support.console_pages import Console, words
from tests.support.dead_letters import PROJECT, Undertaker
from worker.interfaces.console import PAGES, sessions
from worker.model.errors import UsageError
from worker.model.states import State
from worker.services import console_links

GROUP = "server_error-500-MSS.00000004"
PASSWORD = "correct horse battery staple"
OUTSIDE = "https://console.example"
WHO_AND_WHY = {"reason": "T-1", "by": "ops-7"}


@pytest.fixture
def console(console: Console, undertaker: Undertaker) -> Console:
    """Two dead letters, and no password: on loopback."""
    undertaker.end("a", "b")
    return console


@pytest.fixture
def outside(redis_url: str) -> Iterator[Console]:
    """The same from elsewhere, through something that encrypts."""
    environ = {"ERASER_CONSOLE_PASSWORD": PASSWORD, "ERASER_ALLOWED_HOSTS": "console.example"}
    one = Console(redis_url, environ=environ, bind="0.0.0.0", base=OUTSIDE)
    with one.client:
        yield one


def dead(console: Console) -> int:
    return console.app.queries("default").status().states[State.DEAD]


def posts() -> list[str]:
    """Every address that does something."""
    values = {"{project}": PROJECT, "{job}": "a", "{group}": GROUP, "{account}": "default", "{verb}": "pause"}
    values |= {
        "{act}": "discard",
        "{replay}": "replay-1",
        "{policy}": "old",
        "{run}": "run-1",
        "{name}": "shop",
        "{endpoint}": "crm",
    }
    paths = [view.path for page in PAGES for view in page.VIEWS if view.action and not view.public]
    for name, value in values.items():
        paths = [path.replace(name, value) for path in paths]
    return paths


# -- other sites -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", posts())
@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "http://127.0.0.1:9999"},
        {"Origin": "http://localhost:8710"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:8710.evil.example"},
        {"Origin": "http://["},
        {"Origin": ""},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
    ],
    ids=str,
)
def test_a_post_of_another_site_is_refused_everywhere(console: Console, path: str, headers: dict[str, str]) -> None:
    response = console.post(path, headers=headers, token=console.token(), **WHO_AND_WHY)
    assert response.status_code == 403
    assert dead(console) == 2
    assert console.app.queries("default").gate().gate == "ok"


@pytest.mark.parametrize("path", posts())
@pytest.mark.parametrize("token", ["", "0" * 64, "é"])
def test_a_post_without_the_token_of_this_browser_is_refused(console: Console, path: str, token: str) -> None:
    console.token()
    response = console.post(path, token=token, **WHO_AND_WHY)
    assert response.status_code == 403
    assert "Nothing was done" in words(response.text)
    assert dead(console) == 2


def test_the_token_of_another_browser_is_refused(console: Console, redis_url: str) -> None:
    other = Console(redis_url)
    with other.client:
        theirs = other.token()
    console.token()
    assert console.post("/gate/default/pause", token=theirs, **WHO_AND_WHY).status_code == 403


def test_a_post_without_our_cookie_is_refused(console: Console) -> None:
    token = console.token()
    console.client.cookies.clear()
    assert console.post("/gate/default/pause", token=token, **WHO_AND_WHY).status_code == 403


@pytest.mark.parametrize("kind", ["text/plain", "application/json", "multipart/form-data; boundary=x"])
def test_a_form_in_another_form_is_no_form(console: Console, kind: str) -> None:
    body = f"token={console.token()}&reason=T-1&by=ops-7"
    sent = {"Content-Type": kind, "Origin": console.base}
    assert console.client.post("/gate/default/pause", content=body, headers=sent).status_code == 403


def test_a_form_that_is_too_long_is_refused(console: Console) -> None:
    response = console.post("/holds", token=console.token(), jobs="x" * 2_000_000, **WHO_AND_WHY)
    assert response.status_code in (403, 413)
    assert "Nothing is on hold" in console.text("/holds")


def test_nothing_is_done_by_looking(console: Console) -> None:
    for path in posts():
        assert console.get(path + "?reason=T-1&by=ops-7").status_code in (200, 404, 405, 422)
    assert dead(console) == 2
    assert console.app.queries("default").gate().gate == "ok"


def test_a_link_of_another_site_comes_again_from_ourselves(console: Console) -> None:
    console.client.cookies.clear()
    response = console.get('/deletions?state=dead&job="><script>', **{"Sec-Fetch-Site": "cross-site"})
    assert "set-cookie" not in response.headers, "the strict cookie that the browser kept back must survive"
    assert re.search(r'content="0;url=/deletions\?state=dead&amp;job=[^"<]*"', response.text)


def test_no_page_may_be_framed(console: Console) -> None:
    response = console.get("/gate/default/pause")
    assert "frame-ancestors 'none'" in response.headers["content-security-policy"]
    assert response.headers["x-frame-options"] == "DENY"


def test_the_referrer_policy_lets_a_browser_say_our_origin(console: Console) -> None:
    assert console.get("/").headers["referrer-policy"] == "same-origin"


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example:8710", "localhost.evil.example", "10.0.0.5:8710", "[", "a b"]
)
@pytest.mark.parametrize("path", ["/", "/dead", "/gate/default/pause", "/login", "/static/x/console.css"])
def test_an_unknown_host_sees_nothing(console: Console, host: str, path: str) -> None:
    response = console.get(path, Host=host)
    assert response.status_code == 421
    assert "<html" not in response.text
    sent = {"Host": host, "Origin": f"http://{host}"}
    assert console.post("/gate/default/pause", headers=sent, token=console.token(), **WHO_AND_WHY).status_code == 421


@pytest.mark.parametrize("job", ["x%3B%20curl%20evil.example", "%24(id)", "%60id%60", "a%00", "-rf"])
def test_no_command_to_copy_carries_what_an_address_planted(console: Console, job: str) -> None:
    for path in (f"/holds/{PROJECT}/{job}/remove", f"/holds/{job}/a/remove"):
        response = console.get(path)
        assert (response.status_code, "eraser hold remove" in response.text) == (422, False)


# -- the cookie --------------------------------------------------------------------------------------------------------


def test_cookies_are_strict_and_out_of_reach_of_scripts(console: Console) -> None:
    console.send("/gate/default/pause", **WHO_AND_WHY)
    response = console.post("/gate/default/resume", token=console.token(), **WHO_AND_WHY)
    console.client.cookies.clear()
    cookies = response.headers.get_list("set-cookie") + console.get("/").headers.get_list("set-cookie")
    assert {cookie.partition("=")[0] for cookie in cookies} == {sessions.COOKIE, sessions.WHO, sessions.NOTICE}
    for cookie in cookies:
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie


def test_outside_this_machine_cookies_travel_encrypted_only(outside: Console) -> None:
    cookies = outside.get("/login").headers.get_list("set-cookie")
    assert len(cookies) == 1
    assert "Secure" in cookies[0]


@pytest.mark.parametrize("by", ["\u0664\u0662", "\u202e", "Jane Doe", "a\r\nSet-Cookie: x=1", "x" * 65])
@pytest.mark.parametrize("path", ["/login", "/logout"])
def test_who_acts_is_remembered_only_if_it_is_an_opaque_id(console: Console, path: str, by: str) -> None:
    response = console.post(path, token=console.token(), by=by)
    assert response.status_code == 303
    assert sessions.WHO not in str(response.headers.get_list("set-cookie"))


def test_a_hold_until_the_end_of_time_breaks_no_page(console: Console) -> None:
    assert console.send("/holds", jobs="kept", until="9999-12-31", **WHO_AND_WHY).status_code == 200
    assert "kept" in console.text("/holds")
    refused = console.send("/holds", jobs="other", until="9999-12-31T23:59:59-23:00", **WHO_AND_WHY)
    assert (refused.status_code, "there is no such time" in words(refused.text)) == (422, True)


@pytest.mark.parametrize("planted", ["", "x", "0" * 63, "../../etc", "é" * 64])
def test_a_cookie_that_is_not_ours_is_replaced(console: Console, planted: str) -> None:
    response = console.client.get("/", headers={"Cookie": f"{sessions.COOKIE}={planted}".encode()})
    assert sessions.COOKIE in response.headers["set-cookie"]


# -- the password ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bind", "hosts"), [("127.0.0.1", ""), ("0.0.0.0", ""), ("::", ""), ("127.0.0.1", "console.example")]
)
@pytest.mark.parametrize("header", ["Accept", "X-Forwarded-For", "Forwarded", "Via", "X-Real-IP", "X-Forwarded-Proto"])
def test_without_a_session_there_is_the_page_of_the_link_and_nothing_else(
    redis_url: str, undertaker: Undertaker, bind: str, hosts: str, header: str
) -> None:
    """Whoever asks, and through whatever proxy: one on this machine calls by a loopback name."""
    undertaker.end("a")
    console = Console(redis_url, environ={"ERASER_ALLOWED_HOSTS": hosts}, bind=bind, signed_in=False)
    with console.client:
        paths = [view.path for page in PAGES for view in page.VIEWS if view.show and not view.public]
        for path in [*posts(), *(re.sub(r"\{\w+\}", "x", path) for path in paths)]:
            response = console.get(path, **{header: "1.2.3.4"})
            if response.status_code != 405:
                to = "" if path == "/" else f"?to={quote(path, safe='')}"
                assert (response.status_code, response.headers["location"]) == (303, f"/login{to}"), path
            assert GROUP not in response.text
        page = console.get("/login", **{header: "1.2.3.4"})
        assert (page.status_code, "eraser console link" in page.text) == (200, True)
        assert "<form" not in page.text
        assert "<nav" not in page.text
        for path in posts():
            assert console.post(path, token="", headers={header: "1.2.3.4"}, **WHO_AND_WHY).status_code == 403
        assert dead(console) == 1


def test_a_link_opens_the_console_in_one_browser_once(redis_url: str) -> None:
    console, other = (Console(redis_url, signed_in=False) for _ in range(2))
    with console.client, other.client:
        link = console_links.new(console.app, console.base)
        path = link.removeprefix(console.base)
        console.client.get("/login")
        planted = console.client.cookies[sessions.COOKIE]
        assert console.client.head(path).status_code == 200, "whoever only looks at a link does not use it"
        response = console.get(path)
        assert (response.status_code, response.headers["location"]) == (303, "/")
        assert console.client.cookies[sessions.COOKIE] != planted
        assert "What now" in console.text("/")
        assert console.get("/login").headers["location"] == "/"
        again = other.get(path)
        assert (again.status_code, "used already" in again.text) == (403, True)
        assert other.get("/").headers["location"] == "/login"
        console.send("/", to="/logout")
        assert console.get("/").headers["location"] == "/login"


def test_a_link_is_kept_as_its_hash_and_ends(console: Console) -> None:
    link = console_links.new(console.app, console.base)
    (key,) = console.app.redis.scan_iter("eraser:console:link:*")
    assert link.partition("link=")[2] not in key.decode()
    assert 0 < int(str(console.app.redis.ttl(key))) <= console_links.LINK_S


@pytest.mark.parametrize("word", ["", "x", "é", "../../etc", "a" * 300])
def test_a_word_that_is_no_link_opens_nothing(redis_url: str, word: str) -> None:
    console = Console(redis_url, signed_in=False)
    with console.client:
        assert console.client.get("/login", params={"link": word}).status_code in (200, 403)
        assert console.get("/").headers["location"] == "/login"


def test_a_link_is_not_used_without_encryption_nor_where_a_password_is_set(redis_url: str) -> None:
    plain = Console(redis_url, environ={"ERASER_ALLOWED_HOSTS": "console.example"}, base="http://console.example")
    path = console_links.new(plain.app, "")
    plain.client.cookies.clear()
    with plain.client:
        assert (plain.get(path).status_code, plain.get("/").headers["location"]) == (403, "/login")
    locked = Console(redis_url, environ={"ERASER_CONSOLE_PASSWORD": PASSWORD})
    with locked.client:
        assert (locked.get(path).status_code, locked.get("/").headers["location"]) == (200, "/login")
        with pytest.raises(UsageError, match="ERASER_CONSOLE_PASSWORD is set"):
            console_links.new(locked.app, "")
    open_ = Console(redis_url, signed_in=False)
    with open_.client:
        assert open_.get(path).status_code == 303, "nobody used it"


def test_every_page_wants_the_password_first(outside: Console, undertaker: Undertaker) -> None:
    undertaker.end("a")
    paths = [view.path for page in PAGES for view in page.VIEWS if view.show and not view.public]
    for path in [re.sub(r"\{\w+\}", "x", path) for path in paths]:
        to = "" if path == "/" else f"?to={quote(path, safe='')}"
        assert outside.get(path).headers.get("location") == f"/login{to}", path
    for path in posts():
        response = outside.post(path, token="", **WHO_AND_WHY)
        assert response.status_code == 403, path
    assert dead(outside) == 1


def test_a_part_of_a_page_says_that_nobody_is_signed_in_and_ends_the_asking(outside: Console) -> None:
    response = outside.get("/", **{"HX-Request": "true"})
    assert (response.status_code, "Sign in" in response.text) == (286, True)


def test_the_right_password_opens_and_signing_out_closes_for_good(outside: Console) -> None:
    before = outside.get("/login").cookies[sessions.COOKIE]
    response = outside.send("/login", password=PASSWORD, by="ops-7")
    assert "What now" in response.text
    inside = outside.client.cookies[sessions.COOKIE]
    assert inside != before, "an id planted before the password was said must be worth nothing"
    outside.send("/", to="/logout")
    assert outside.get("/").headers["location"] == "/login"
    outside.client.cookies.set(sessions.COOKIE, inside)
    assert outside.get("/").headers["location"] == "/login", "a stolen cookie ends with its session"


def test_whoever_signs_in_comes_to_the_page_that_was_asked_for(outside: Console) -> None:
    login = outside.get("/deletions?state=dead&job=a").headers["location"]
    assert "Deletions" in words(outside.send(login, password=PASSWORD, by="ops-7").text)
    assert str(outside.get(login).headers["location"]) == "/deletions?state=dead&job=a"


@pytest.mark.parametrize("to", ["//evil.example", "/\\evil.example", "https://evil.example", "evil", "", "/a\r\nX: y"])
def test_signing_in_leads_to_no_other_site(outside: Console, to: str) -> None:
    response = outside.client.get("/login", params={"to": to})
    token = re.search(r'name="token" value="(\w+)"', response.text)
    assert token
    path = f"/login?{urlencode({'to': to})}"
    assert outside.post(path, token=token[1], password=PASSWORD, by="ops-7").headers["location"] == "/"


def test_a_session_ends_by_itself_and_looking_does_not_prolong_it(outside: Console) -> None:
    outside.send("/login", password=PASSWORD, by="ops-7")
    (key,) = outside.app.redis.scan_iter("eraser:console:session:*")
    assert outside.client.cookies[sessions.COOKIE] not in key.decode()
    outside.app.redis.expire(key, 100)
    assert outside.get("/").status_code == 200
    assert int(str(outside.app.redis.ttl(key))) <= 100


@pytest.mark.parametrize(("before", "after"), [("", PASSWORD), (PASSWORD, PASSWORD[::-1]), (PASSWORD, "")])
def test_a_session_ends_when_a_password_is_set_changed_or_taken_away(redis_url: str, before: str, after: str) -> None:
    first, same, then = (
        Console(redis_url, environ={"ERASER_CONSOLE_PASSWORD": one}, signed_in=False) for one in (before, before, after)
    )
    with first.client, same.client, then.client:
        cookie = sessions.sign_in(first.app, "ops-7").id
        for console, status in ((first, 200), (same, 200), (then, 303)):
            console.client.cookies.set(sessions.COOKIE, cookie)
            assert console.get("/").status_code == status
        (key,) = first.app.redis.scan_iter("eraser:console:session:*")
        assert PASSWORD not in str(first.app.redis.get(key))


def test_a_wrong_password_is_refused_and_too_many_are_not_even_looked_at(outside: Console) -> None:
    for _ in range(sessions.TRIES):
        response = outside.send("/login", password=PASSWORD[:-1], by="ops-7")
        assert (response.status_code, "Wrong password" in response.text) == (403, True)
    response = outside.send("/login", password=PASSWORD, by="ops-7")
    assert response.status_code == 429
    assert outside.get("/").headers["location"] == "/login"


def test_another_address_may_still_try_but_not_for_ever(outside: Console) -> None:
    token = re.search(r'name="token" value="(\w+)"', outside.get("/login").text)
    assert token
    codes = []
    for n in range(sessions.TRIES_OF_ALL + 1):
        headers = {"X-Forwarded-For": f"6.6.6.6, 10.0.0.{n}"}
        codes.append(outside.post("/login", headers=headers, token=token[1], password="no", by="x").status_code)
    assert set(codes[:-1]) == {403}
    assert codes[-1] == 429


def test_a_password_is_not_taken_without_encryption(redis_url: str) -> None:
    environ = {"ERASER_CONSOLE_PASSWORD": PASSWORD, "ERASER_ALLOWED_HOSTS": "console.example"}
    console = Console(redis_url, environ=environ, bind="0.0.0.0", base="http://console.example")
    with console.client:
        response = console.get("/login")
        cookie = response.headers["set-cookie"].split(";")[0]  # a browser would not even keep it
        token = re.search(r'name="token" value="(\w+)"', response.text)
        assert token
        sent = {"Cookie": cookie}
        refused = console.post("/login", headers=sent, token=token[1], password=PASSWORD, by="ops-7")
        assert (refused.status_code, "without encryption" in refused.text) == (403, True)
        proxied = sent | {"X-Forwarded-Proto": "https"}
        assert console.post("/login", headers=proxied, token=token[1], password=PASSWORD, by="ops-7").status_code == 303


def test_on_loopback_with_a_password_it_is_wanted_too(redis_url: str) -> None:
    console = Console(redis_url, environ={"ERASER_CONSOLE_PASSWORD": PASSWORD})
    with console.client:
        assert console.get("/").headers["location"] == "/login"
        assert "What now" in console.send("/login", password=PASSWORD, by="ops-7").text
