"""`eraser webhooks add`, `edit`, `rotate` and `remove`: endpoints in the ledger, without their secrets."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.interfaces.cli.test_webhooks import taken
from tests.support.command import Command
from tests.support.dead_letters import PROJECT, Undertaker
from worker.config.webhooks import EventType, decoded
from worker.execution import endpoints
from worker.execution.app_context import AppContext
from worker.ledger import deliveries
from worker.ledger.audit import AuditLog
from worker.ledger.deletions import Ledger
from worker.ledger.endpoints import KeptEndpoints
from worker.model.errors import Unreachable
from worker.services import webhook_endpoints
from worker.services import webhooks as service
from worker.services.act import Approval
from worker.webhooks.signing import Secrets, derived, new_secret

URL = "https://crm.example.com/hooks"
WHY = ("--reason", "TICKET-4711", "--by", "ops-7")


@pytest.fixture
def keyed(command: Command) -> Command:
    """A command line with the key that secrets are derived from."""
    command.environ["ERASER_WEBHOOKS_KEY"] = new_secret()
    return command


def signing(command: Command, name: str = "crm") -> list[bytes]:
    app = AppContext.load(command.environ)
    return Secrets(endpoints.known(app)[name], app.environ).keys()


def test_an_endpoint_is_made_and_its_secret_shown_once_and_kept_nowhere(keyed: Command, undertaker: Undertaker) -> None:
    made = keyed("webhooks", "add", "crm", URL, "--event", "deletion.dead", "--project", PROJECT, *WHY)
    secret = made.out.strip()
    assert (made.code, decoded(secret)) == (0, signing(keyed)[0])
    assert "shown only once" in made.err
    (row,) = keyed("webhooks", "list", "--json").json
    assert (row["endpoint"], row["url"], row["in_ledger"], row["on"]) == ("crm", URL, True, True)
    assert (row["events"], row["projects"], row["secrets"]) == (["deletion.dead"], [PROJECT], 1)
    everything = str(undertaker.redis.hgetall("eraser:endpoints")) + str(
        list(AuditLog(undertaker.redis, "default").newest())
    )
    key = keyed.environ["ERASER_WEBHOOKS_KEY"]
    for canary in (secret, secret.removeprefix("whsec_"), key, key.removeprefix("whsec_")):
        assert canary not in everything + keyed("webhooks", "list", "--json").out
    again = keyed("webhooks", "add", "crm", URL, *WHY)
    assert (again.code, "there is an endpoint crm already" in again.err) == (2, True)


def test_without_the_key_it_says_how_to_make_one(command: Command) -> None:
    refused = command("webhooks", "add", "crm", URL, *WHY)
    assert (refused.code, "eraser webhooks secret webhooks.key" in refused.err) == (2, True)


def test_what_is_edited_disabled_and_removed_is_in_the_audit(keyed: Command, undertaker: Undertaker) -> None:
    keyed("webhooks", "add", "crm", URL, "--event", "deletion.dead", *WHY)
    assert keyed("webhooks", "edit", "crm", "--url", f"{URL}/2", "--all-events", *WHY).code == 0
    (row,) = keyed("webhooks", "list", "--json").json
    assert (row["url"], row["events"]) == (f"{URL}/2", list(EventType))
    assert "nothing is different" in keyed("webhooks", "edit", "crm", "--enable", *WHY).err
    assert keyed("webhooks", "edit", "crm", "--disable", *WHY, "--json").json[0]["on"] is False
    assert "ledger, disabled" in keyed("webhooks", "list").out
    plan = keyed("webhooks", "remove", "crm", *WHY)
    assert (plan.code, "remove the endpoint crm" in plan.out) == (3, True)
    assert keyed("webhooks", "remove", "crm", *WHY, "--yes").code == 0
    assert keyed("webhooks", "list", "--json").json == []
    found = [(one.action, one.by, one.of, one.results) for one in AuditLog(undertaker.redis, "default").newest()]
    assert found == [
        ("endpoint.removed", "ops-7", "webhook crm", {"removed": 1}),
        ("endpoint.changed", "ops-7", "webhook crm", {"disabled": 1}),
        ("endpoint.changed", "ops-7", "webhook crm", {"changed": 1}),
        ("endpoint.added", "ops-7", "webhook crm", {"added": 1}),
    ]


def test_a_new_secret_signs_beside_the_old_one_until_the_overlap_ends(keyed: Command, undertaker: Undertaker) -> None:
    old = decoded(keyed("webhooks", "add", "crm", URL, *WHY).out.strip())
    new = decoded(keyed("webhooks", "rotate", "crm", "--overlap", "24h", *WHY, "--json").json[0]["secret"])
    assert signing(keyed) == [new, old]
    kept = json.loads(undertaker.redis.hget("eraser:endpoints", "crm"))
    kept["secrets"][1]["until"] = 1
    undertaker.redis.hset("eraser:endpoints", "crm", json.dumps(kept))
    assert signing(keyed) == [new]
    newest = decoded(keyed("webhooks", "rotate", "crm", *WHY).out.strip())
    assert signing(keyed) == [newest]


def test_a_second_rotation_shortens_no_overlap_that_was_promised(keyed: Command) -> None:
    made = [decoded(keyed("webhooks", "add", "crm", URL, *WHY).out.strip())]
    for _ in range(5):
        made.append(decoded(keyed("webhooks", "rotate", "crm", "--overlap", "24h", *WHY).out.strip()))
        assert signing(keyed) == made[::-1]
    refused = keyed("webhooks", "rotate", "crm", "--overlap", "24h", *WHY)
    assert (refused.code, "5 older secrets of crm sign still" in refused.err) == (2, True)
    newest = decoded(keyed("webhooks", "rotate", "crm", *WHY).out.strip())
    assert signing(keyed) == [newest]


def test_a_secret_is_shown_also_where_the_audit_has_no_entry(keyed: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object) -> None:
        raise Unreachable("its server is away; nothing was done")

    monkeypatch.setattr(Ledger, "note", away)
    for command in (("add", "crm", URL), ("rotate", "crm")):
        done = keyed("webhooks", *command, *WHY)
        assert (done.code, [decoded(done.out.strip())]) == (0, signing(keyed))
        assert "It is done, but not in the audit: its server is away\n" in done.err
    for command in (("edit", "crm", "--disable"), ("remove", "crm", "--yes")):
        done = keyed("webhooks", *command, *WHY)
        assert (done.code, "It is done, but not in the audit" in done.err) == (0, True)
    assert keyed("webhooks", "list", "--json").json == []


def test_an_answer_that_was_lost_is_no_lost_secret(keyed: Command) -> None:
    keyed("webhooks", "add", "crm", URL, *WHY)
    assert "rotate it to see a secret" in keyed("webhooks", "add", "crm", URL, *WHY).err


def test_a_rotation_to_another_key_says_that_the_old_secret_signs_no_more(keyed: Command) -> None:
    keyed("webhooks", "add", "crm", URL, *WHY)
    keyed.environ["ERASER_WEBHOOKS_KEY"] = new_secret()
    done = keyed("webhooks", "rotate", "crm", "--overlap", "24h", *WHY)
    assert signing(keyed) == [decoded(done.out.strip())]
    assert "The old one signs nothing more" in done.err
    assert "it was made with another ERASER_WEBHOOKS_KEY" in done.err


def test_another_key_is_noticed_before_anything_is_signed_by_it(keyed: Command) -> None:
    keyed("webhooks", "add", "crm", URL, *WHY)
    for key, says in ((new_secret(), "another one"), ("", "not set here")):
        keyed.environ["ERASER_WEBHOOKS_KEY"] = key
        assert says in keyed("webhooks", "list", "--json").json[0]["problem"]
        assert says in keyed("webhooks", "test", "crm").err


def test_what_waits_for_a_removed_endpoint_goes_to_no_other_address(keyed: Command, undertaker: Undertaker) -> None:
    keyed("webhooks", "add", "crm", URL, *WHY)
    taken(undertaker, "a")
    assert "given up" in keyed("webhooks", "remove", "crm", *WHY).out
    assert keyed("webhooks", "remove", "crm", *WHY, "--yes").code == 0
    (given_up,) = keyed("webhooks", "deliveries", "--json").json
    assert (given_up["state"], given_up["attempts"][-1]["why"]) == ("dead", "not sent: its endpoint was removed")
    taken(undertaker, "b")  # by a worker that does not know it yet
    keyed("webhooks", "add", "crm", "https://other.example.com/", *WHY)
    assert [row["waiting"] for row in keyed("webhooks", "list", "--json").json] == [0]


def states(command: Command) -> list[tuple[str, str]]:
    """Of each message: what it is about, and where it stands."""
    found = command("webhooks", "deliveries", "--json").json
    return sorted((one["data"]["job_id"], one["state"]) for one in found)


def meanwhile(monkeypatch: pytest.MonkeyPatch, step: str, act: Callable[[], object]) -> None:
    """Do something once, before this step; after it where that is a look at what there is."""
    of = {"read": KeptEndpoints, "write": KeptEndpoints, "counts": service, "give_up": deliveries}[step]
    before = getattr(of, step)

    def replaced(*args: Any) -> Any:
        monkeypatch.setattr(of, step, before)
        found = before(*args) if step == "read" else None
        act()
        return found if step == "read" else before(*args)

    monkeypatch.setattr(of, step, replaced)


@pytest.mark.parametrize("step", ["read", "write"])
def test_whoever_is_late_with_the_same_name_gives_up_nothing_of_the_endpoint_that_was_made(
    keyed: Command, undertaker: Undertaker, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """The other one makes it, and a worker a message to it, after this one saw no such endpoint."""
    taken(undertaker, "old")

    def made() -> None:
        assert keyed("webhooks", "add", "crm", "https://first.example.com/", *WHY).code == 0
        taken(undertaker, "new")

    meanwhile(monkeypatch, step, made)
    late = keyed("webhooks", "add", "crm", "https://late.example.com/", *WHY)
    assert (late.code, "somebody else changed crm meanwhile" in late.err) == (2, True)
    assert keyed("webhooks", "list", "--json").json[0]["url"] == "https://first.example.com/"
    assert states(keyed) == [("new", "waiting"), ("old", "dead")]


@pytest.mark.parametrize("step", ["counts", "give_up"])
def test_while_one_is_being_made_nobody_else_makes_or_uses_it(
    keyed: Command, undertaker: Undertaker, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    taken(undertaker, "old")

    def late() -> None:
        refused = keyed("webhooks", "add", "crm", "https://late.example.com/", *WHY)
        assert (refused.code, "it was not finished" in refused.err) == (2, True)
        assert endpoints.kept(AppContext.load(keyed.environ)) == {}

    meanwhile(monkeypatch, step, late)
    first = keyed("webhooks", "add", "crm", "https://first.example.com/", *WHY)
    assert signing(keyed) == [decoded(first.out.strip())]
    assert keyed("webhooks", "list", "--json").json[0]["url"] == "https://first.example.com/"
    assert states(keyed) == [("old", "dead")]


@pytest.mark.parametrize("step", ["counts", "give_up"])
def test_one_that_is_removed_while_it_is_made_costs_its_successor_nothing(
    keyed: Command, undertaker: Undertaker, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    taken(undertaker, "old")

    def successor() -> None:
        assert keyed("webhooks", "remove", "crm", "--yes", *WHY).code == 0
        assert keyed("webhooks", "add", "crm", "https://other.example.com/", *WHY).code == 0
        taken(undertaker, "new")

    meanwhile(monkeypatch, step, successor)
    late = keyed("webhooks", "add", "crm", URL, *WHY)
    assert (late.code, "somebody else changed crm meanwhile" in late.err) == (2, True)
    assert states(keyed) == [("new", "waiting"), ("old", "dead")]
    assert keyed("webhooks", "list", "--json").json[0]["url"] == "https://other.example.com/"


def test_a_removal_gives_up_nothing_of_one_that_is_made_before_it_has_ended(
    keyed: Command, undertaker: Undertaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    keyed("webhooks", "add", "crm", URL, *WHY)
    taken(undertaker, "old")

    def successor() -> None:
        assert keyed("webhooks", "add", "crm", "https://other.example.com/", *WHY).code == 0
        taken(undertaker, "new")

    meanwhile(monkeypatch, "give_up", successor)
    assert keyed("webhooks", "remove", "crm", "--yes", *WHY).code == 0
    assert states(keyed) == [("new", "waiting"), ("old", "dead")]


def test_one_that_could_not_be_made_is_not_there(keyed: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object) -> None:
        raise Unreachable("its server is away")

    monkeypatch.setattr(service, "counts", away)
    assert keyed("webhooks", "add", "crm", URL, *WHY).code == 4
    monkeypatch.undo()
    assert keyed("webhooks", "add", "crm", URL, *WHY).code == 0


def test_one_whose_beginning_was_recorded_without_an_answer_is_not_there(
    keyed: Command, undertaker: Undertaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, writes = KeptEndpoints.write, []

    def lost(kept: KeptEndpoints, *args: Any) -> str:
        answer = write(kept, *args)
        writes.append(args)
        if len(writes) == 1:
            raise Unreachable("lost")
        return answer

    monkeypatch.setattr(KeptEndpoints, "write", lost)
    assert keyed("webhooks", "add", "crm", URL, *WHY).code != 0
    assert undertaker.redis.hgetall("eraser:endpoints") == {}
    assert keyed("webhooks", "add", "crm", URL, *WHY).code == 0


def test_what_could_not_be_given_up_hides_no_removal(keyed: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object) -> None:
        raise Unreachable("its server is away")

    keyed("webhooks", "add", "crm", URL, *WHY)
    monkeypatch.setattr(service, "counts", away)
    app = AppContext.load(keyed.environ)
    assert "made under its name" in webhook_endpoints.remove(app, "crm", Approval("ops-7", "TICKET-4711"))
    assert endpoints.kept(app) == {}
    assert [one.action for one in app.audit("default").newest()] == ["endpoint.removed", "endpoint.added"]


def test_one_that_cannot_be_read_is_removed(keyed: Command, undertaker: Undertaker) -> None:
    undertaker.redis.hset("eraser:endpoints", "crm", "{")
    refused = keyed("webhooks", "rotate", "crm", *WHY)
    assert (refused.code, "remove it and make it anew" in refused.err) == (2, True)
    assert keyed("webhooks", "remove", "crm", *WHY, "--yes").code == 0
    assert keyed("webhooks", "add", "crm", URL, *WHY).code == 0


def test_events_of_a_later_version_are_kept(keyed: Command, undertaker: Undertaker) -> None:
    keyed("webhooks", "add", "crm", URL, "--event", "deletion.dead", *WHY)

    def later(*events: str) -> None:
        kept = json.loads(undertaker.redis.hget("eraser:endpoints", "crm"))
        undertaker.redis.hset("eraser:endpoints", "crm", json.dumps(kept | {"events": events}))

    for events in (["deletion.dead", "of.later"], ["of.later"]):
        later(*events)
        assert keyed("webhooks", "edit", "crm", "--url", f"{URL}/{len(events)}", *WHY).code == 0
        assert keyed("webhooks", "list", "--json").json[0]["events"] == events


def test_all_events_are_those_of_later_versions_too(keyed: Command, undertaker: Undertaker) -> None:
    keyed("webhooks", "add", "crm", URL, *WHY)
    assert json.loads(undertaker.redis.hget("eraser:endpoints", "crm"))["events"] == []


def test_an_endpoint_of_the_file_is_changed_there_only(keyed: Command, tmp_path: Path) -> None:
    keyed.environ["CRM_SECRET"] = new_secret()
    (file := tmp_path / "eraser.toml").write_text(f'[webhooks.crm]\nurl = "{URL}"\nsecret_envs = ["CRM_SECRET"]\n')
    keyed.environ["ERASER_CONFIG"] = str(file)
    for command in (["edit", "crm", "--disable"], ["rotate", "crm"], ["remove", "crm", "--yes"]):
        refused = keyed("webhooks", *command, *WHY)
        assert (refused.code, "change it there" in refused.err) == (2, True)
    assert "already" in keyed("webhooks", "add", "crm", URL, *WHY).err


def test_an_unknown_one_and_what_another_program_wrote_are_none(keyed: Command, undertaker: Undertaker) -> None:
    assert "there is no endpoint 'crn'" in keyed("webhooks", "edit", "crn", "--disable", *WHY).err
    undertaker.redis.hset("eraser:endpoints", "crm", "of another program")
    undertaker.redis.hset(
        "eraser:endpoints", "own", json.dumps({"url": "https://10.0.0.1/", "events": [], "projects": []})
    )
    assert keyed("webhooks", "list", "--json").json == []
    undertaker.redis.delete("eraser:endpoints")


def test_derived_secrets_differ_by_key_and_by_id() -> None:
    assert len({derived(key, id) for key in (b"k" * 32, b"l" * 32) for id in ("a", "b")}) == 4
