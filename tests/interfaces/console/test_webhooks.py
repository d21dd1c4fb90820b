"""The page of webhooks: endpoints and messages as the command line has them, and sending again."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interfaces.cli.test_webhooks import give_up, taken
from tests.support.console_pages import Console, links, words
from tests.support.dead_letters import Undertaker
from worker.ledger import deliveries
from worker.ledger.audit import AuditLog
from worker.ledger.deliveries import Deliveries, DeliveryState
from worker.services import webhook_endpoints
from worker.services.act import Approval
from worker.webhooks.signing import new_secret

WHO = {"reason": "TICKET-4711", "by": "ops-7"}


@pytest.fixture
def console(redis_url: str, tmp_path: Path) -> Iterator[Console]:
    path = tmp_path / "eraser.toml"
    path.write_text('[webhooks.crm]\nurl = "https://crm.example.com/h?token=geheim"\nsecret_envs = ["CRM_SECRET"]\n')
    one = Console(
        redis_url, {"ERASER_CONFIG": str(path), "CRM_SECRET": new_secret(), "ERASER_WEBHOOKS_KEY": new_secret()}
    )
    with one.client:
        yield one


def version_in(form: str) -> str:
    (found,) = re.findall(r'name="version" value="([0-9a-f]+)"', form)
    return str(found)


def states(console: Console) -> dict[str, DeliveryState]:
    return {one.id: one.state for one in Deliveries(console.app.redis, "default", console.app.keys).newest()}


def messages_of(page: str) -> list[str]:
    return re.findall(r"<span class=\"mono\">(msg_[0-9a-f]+)<", page)


def test_it_shows_endpoints_and_messages_and_finds_some(console: Console, undertaker: Undertaker) -> None:
    assert "https://crm.example.com/h" in console.text("/webhooks")
    (dead,) = give_up(undertaker, "a")
    (sent,) = taken(undertaker, "b")
    deliveries.settle(undertaker.ledger, "crm", sent, status=204, ms=7, why="delivered")
    text = console.text("/webhooks")
    assert "204 delivered, 7 ms (1 attempt)" in text
    assert "503 refused, 41 ms" in text
    assert "geheim" not in console.get("/webhooks").text
    only = console.text("/webhooks?state=dead&endpoint=crm&type=deletion.deleted")
    assert dead in only
    assert sent.id not in only
    assert "No message matches these filters" in console.text("/webhooks?endpoint=other")
    wrong = console.get("/webhooks?state=canary")
    assert (wrong.status_code, "canary" in wrong.text) == (422, False)


def test_a_message_or_all_dead_ones_of_an_endpoint_are_sent_again(console: Console, undertaker: Undertaker) -> None:
    first, *others = give_up(undertaker, "a", "b", "c")
    assert "The message to https://crm.example.com/h is sent again" in console.text(f"/webhooks/crm/{first}/replay")
    assert "1 message on the way again" in console.send(f"/webhooks/crm/{first}/replay", **WHO).text
    assert states(console) == {first: DeliveryState.WAITING, **dict.fromkeys(others, DeliveryState.DEAD)}
    assert "2 messages on the way again" in console.send("/webhooks/crm/replay", **WHO).text
    assert set(states(console).values()) == {DeliveryState.WAITING}
    entries = list(AuditLog(undertaker.redis, "default").newest())
    assert [(one.by, one.reason, one.of, one.results) for one in entries] == [
        ("ops-7", "TICKET-4711", "crm", {"replayed": 2}),
        ("ops-7", "TICKET-4711", "crm", {"replayed": 1}),
    ]
    for gone in ("/webhooks/crm/replay", "/webhooks/crm/msg_none/replay", "/webhooks/none/replay"):
        assert console.get(gone).status_code == 422


def test_what_now_leads_to_messages_that_were_given_up(console: Console, undertaker: Undertaker) -> None:
    assert "to webhook crm" not in console.text("/")
    give_up(undertaker, "a")
    assert "1 message to webhook crm was given up" in console.text("/")
    assert 'href="/webhooks?state=dead&amp;endpoint=crm"' in console.get("/").text


def test_an_endpoint_is_made_edited_given_a_new_secret_and_removed(console: Console, undertaker: Undertaker) -> None:
    new = {"name": "shop", "url": "https://shop.example.com/hooks", "event-deletion.dead": "yes", **WHO}
    refused = console.send("/webhooks/new", **{**new, "url": "https://10.0.0.1/"})
    assert (refused.status_code, "is not public" in refused.text, 'value="shop"' in refused.text) == (422, True, True)
    made = console.post("/webhooks/new", token=console.token(), **new).text
    (secret,) = re.findall(r"whsec_[^<]+", made)
    assert "shop.example.com/hooks" in console.text("/webhooks")
    assert secret not in console.get("/webhooks").text
    form = console.get("/webhooks/shop/edit").text
    assert re.findall(r'name="event-([a-z.]+)" value="yes" checked', form) == ["deletion.dead"]
    typed = {"url": "https://shop.example.com/2", "on": "", "version": version_in(form), **WHO}
    edited = console.post("/webhooks/shop/edit", token=console.token(), **typed)
    assert edited.status_code == 303
    assert "https://shop.example.com/2 ledger, disabled" in console.text("/webhooks")
    assert re.findall(r"whsec_[^<]+", console.send("/webhooks/shop/rotate", overlap="24h", **WHO).text) != [secret]
    assert "The endpoint shop is removed." in words(console.send("/webhooks/shop/remove", **WHO).text)
    assert "shop.example.com" not in console.text("/webhooks")
    acts = [(one.action, one.by, one.of) for one in AuditLog(undertaker.redis, "default").newest()]
    names = ("endpoint.removed", "endpoint.rotated", "endpoint.changed", "endpoint.added")
    assert acts == [(name, "ops-7", "webhook shop") for name in names]


def test_a_form_overwrites_nothing_that_somebody_else_changed_meanwhile(console: Console) -> None:
    who = Approval("ops-8", "TICKET-4712")
    webhook_endpoints.add(console.app, "shop", "https://shop.example.com/hooks", [], [], who)
    form = console.get("/webhooks/shop/edit").text
    webhook_endpoints.change(console.app, "shop", who, projects=["p-1"])
    typed = {"url": "https://shop.example.com/2", "on": "yes", **WHO}
    refused = console.post("/webhooks/shop/edit", token=console.token(), version=version_in(form), **typed)
    assert (refused.status_code, "omebody else changed shop meanwhile" in refused.text) == (422, True)
    assert ('value="p-1"' in refused.text, "https://shop.example.com/2" in refused.text) == (True, False)
    again = console.post(
        "/webhooks/shop/edit", token=console.token(), version=version_in(refused.text), projects="p-1", **typed
    )
    assert again.status_code == 303
    assert webhook_endpoints.named(console.app, "shop")[1].projects == ("p-1",)


def test_a_form_keeps_events_of_a_later_version(console: Console) -> None:
    app = console.app
    webhook_endpoints.add(app, "shop", "https://shop.example.com/hooks", [], [], Approval("ops-8", "TICKET-4712"))
    later = json.loads(webhook_endpoints.named(app, "shop")[0]) | {"events": ["of.later"]}
    app.redis.hset(app.keys.endpoints, "shop", json.dumps(later))
    version = version_in(console.get("/webhooks/shop/edit").text)
    typed = {"url": "https://shop.example.com/2", "on": "yes", "version": version, **WHO}
    assert console.post("/webhooks/shop/edit", token=console.token(), **typed).status_code == 303
    assert webhook_endpoints.named(app, "shop")[1].events == ("of.later",)


def test_an_endpoint_of_the_file_is_shown_as_such_and_has_no_edit(console: Console) -> None:
    assert "https://crm.example.com/h TOML" in console.text("/webhooks")
    assert "/webhooks/crm/edit" not in console.get("/webhooks").text
    for verb in ("edit", "rotate", "remove"):
        refused = console.get(f"/webhooks/crm/{verb}")
        assert (refused.status_code, "change it there" in refused.text) == (422, True)


def test_without_the_key_the_form_says_how_to_make_one(redis_url: str) -> None:
    one = Console(redis_url)
    with one.client:
        assert "eraser webhooks secret webhooks.key" in one.text("/webhooks/new")


def test_messages_go_on_page_by_page_with_their_filters(console: Console, undertaker: Undertaker) -> None:
    expected = give_up(undertaker, *[f"job-{n}" for n in range(120)])
    path, found = "/webhooks?state=dead", []
    while path:
        page = console.get(path).text
        found += messages_of(page)
        path = next((to for to in links(page) if "from=" in to and "state=dead" in to), "")
    assert sorted(found) == sorted(expected)


def test_a_page_goes_on_behind_a_message_that_no_longer_matches(console: Console, undertaker: Undertaker) -> None:
    give_up(undertaker, *[f"job-{n}" for n in range(60)])
    first = console.get("/webhooks?state=dead").text
    behind = next(to for to in links(first) if "from=" in to)
    expected = messages_of(console.get(behind).text)
    assert len(expected) == 10
    deliveries.replay(undertaker.ledger, "crm", messages_of(first)[-1:], why="T-1", by="ops-7")
    assert messages_of(console.get(behind).text) == expected
    assert console.get("/webhooks?from=nowhere").status_code == 422
