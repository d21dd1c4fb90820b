"""The audit: every operator's command leaves exactly one entry with who and why, and nothing else leaves one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from tests.support.command import Command
from tests.support.dead_letters import PROJECT, Undertaker
from tests.support.ledgers import CLOCK, Bench
from tests.support.ledgers import PROJECT as BENCH_PROJECT
from worker.interfaces.cli import eraser
from worker.ledger import scripts
from worker.ledger.audit import AuditEntry, AuditLog
from worker.ledger.audit_actions import ActionName, AuditAction
from worker.ledger.damage import check
from worker.ledger.parking import Parked, ParkedKind, Parking
from worker.ledger.replays import Replays
from worker.ledger.types import DeletionRequest
from worker.model.target import Target

WHO_AND_WHY = ("--reason", "CASE-12", "--by", "ops-7")
CN_NORTH_4 = "https://metastudio.cn-north-4.myhuaweicloud.com"
MANY = [f"job-{n:04d}" for n in range(700)]
# Commands by which an operator changes something: what has to be there, what is typed, the act, what became of it.
ACTS: dict[str, tuple[str | None, list[str], ActionName, dict[str, int]]] = {
    "cancel": ("pending", ["e-1", "e-2"], ActionName.CANCELLED, {"cancelled": 1, "unknown": 1}),
    "pause": (None, [], ActionName.PAUSED, {"paused": 1}),
    "resume": (None, [], ActionName.RESUMED, {"ok": 1}),
    "hold add": (None, ["e-1"], ActionName.HELD, {"none": 1}),
    "hold remove": ("held", ["e-1"], ActionName.RELEASED, {"released": 1}),
    "hold import": (None, ["-"], ActionName.IMPORTED, {"none": 2}),
    "dead replay": ("dead", ["e-1"], ActionName.REPLAYED, {"pending": 1}),
    "dead discard": ("dead", ["e-1"], ActionName.DISCARDED, {"discarded": 1}),
    "dead restore": ("discarded", ["e-1"], ActionName.RESTORED, {"dead": 1}),
    "accounts rebind": (None, ["--endpoint", CN_NORTH_4, "--yes"], ActionName.REBOUND, {"rebound": 1}),
    "damaged discard": ("damaged", [f"{PROJECT}/e-1"], ActionName.DAMAGE_DROPPED, {"dropped": 1}),
    "related erase": ("left", ["e-1", "--yes"], ActionName.RELATED_ERASED, {"erasing": 1}),
    "replay cancel": ("replaying", ["replay-1"], ActionName.REPLAY_CANCELLED, {"stopped": 1}),
    "parked discard": ("parked", ["bad:eraser.delete", "--yes"], ActionName.GIVEN_UP, {"discarded": 1}),
    "console tokens create": (None, ["shop", "--scope", "read"], ActionName.TOKEN_MADE, {"made": 1}),
    "console token": (None, ["shop", "--scope", "read"], ActionName.TOKEN_MADE, {"made": 1}),
    "console tokens rotate": ("token", ["shop"], ActionName.TOKEN_ROTATED, {"rotated": 1}),
    "console tokens revoke": ("token", ["shop"], ActionName.TOKEN_REVOKED, {"revoked": 1}),
    "request": (None, ["--from-file", "-", "--max", "200"], ActionName.CAP_LIFTED, {"requested": 101}),
}
# Those that only look, or start a process. A sweep over its caps is tested in interfaces/cli/test_retention.py,
# sending to the broker in interfaces/cli/test_parked.py.
OTHERS = {
    *(
        "demo",
        "up",
        "list",
        "show",
        "status",
        "doctor",
        "health",
        "simulator",
        "metrics",
        "audit",
        "hold list",
        "damaged list",
        "accounts list",
        "accounts move",  # its audit is tested in interfaces/cli/test_accounts.py: it needs settings of its own
    ),
    *("config check", "config show"),
    "console link",  # it opens the pages, and each act there has an entry
    "redact",  # its audit is tested in interfaces/cli/test_redact.py: it needs a text to redact
    "console tokens list",
    *("receipts export", "receipts verify", "receipts recheck"),
    *("receipts rechecks", "receipts back list", "receipts show", "receipts cosign"),
    "receipts back request",  # like `request` it leaves one only above its cap
    "receipts relocate",  # its audit is tested in receipts/test_directories.py: it needs a day that was archived
    "receipts back list",
    "receipts rechecks",
    "learn",  # its audit is tested in interfaces/cli/test_learn.py: it needs a MetaStudio
    *("dead groups", "dead list", "dead show", "replay status", "replay list"),
    *("parked list", "parked send"),
    "related list",
    *("webhooks list", "webhooks deliveries", "webhooks test", "webhooks secret"),
    # their audit is tested in interfaces/cli/test_webhook_endpoints.py: they need settings of their own
    *("webhooks add", "webhooks edit", "webhooks rotate", "webhooks remove"),
    "webhooks replay",  # its audit is tested in interfaces/cli/test_webhooks.py: it needs settings of its own
    "related restore",  # its audit is tested in services/test_related_restore.py: it needs a MetaStudio
    *("retention plan", "retention run", "retention runs"),
}


def entries(bench: Bench, **between: float) -> list[AuditEntry]:
    return list(AuditLog(bench.client, "default").newest(**between))


def refs(jobs: list[str]) -> list[Target]:
    return [Target(BENCH_PROJECT, job) for job in jobs]


def commands(group: click.Group, before: str = "") -> Iterator[str]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from commands(command, f"{before}{name} ")
        else:
            yield before + name


def prepare(undertaker: Undertaker, state: str | None) -> None:
    if state == "pending":
        undertaker.request("e-1")
    elif state in ("dead", "discarded", "replaying"):
        undertaker.end("e-1")
    elif state in ("held", "damaged"):
        undertaker.request("e-1")
    elif state == "left":
        part = {"part": "model_asset", "id": "a-1", "project_id": PROJECT, "named_by": "job", "evidence": "kept"}
        fields = {"related": "verify", "inventory": "done", "opened": "1", "closed": "2", "verdict": "partial"}
        erasure = f"{undertaker.ledger.prefix}erasure:{PROJECT}/e-1"
        undertaker.redis.hset(erasure, mapping=fields | {"parts": json.dumps([part | {"own": True}])})
    elif state == "parked":
        Parking(undertaker.redis).park(ParkedKind.BAD, "eraser.delete", Parked("m-1", "eraser.delete", "T", 0.0))
    if state == "replaying":
        replays = Replays(undertaker.ledger)
        replays.snapshot("replay-1", [Target(PROJECT, "e-1")])
        replays.start(replays.terms("replay-1", why="T-1", by=None, what="all", groups={}, mark=1, deadline_s=60))
    if state == "damaged":
        undertaker.redis.hset(f"{undertaker.ledger.prefix}d:{PROJECT}/e-1", "at", "yesterday")
        check(undertaker.ledger, [Target(PROJECT, "e-1")])
    undertaker.redis.delete(*(undertaker.redis.keys("*:audit*") or ["-"]))


def test_every_command_is_known_to_act_or_not_to_act() -> None:
    unknown = {name for name in commands(eraser) if name not in ACTS and name not in OTHERS}
    assert unknown == set(), "say in ACTS what entry of the audit it leaves, or in OTHERS that it changes nothing"


@pytest.mark.parametrize("name", ACTS)
def test_an_operators_command_leaves_one_entry_with_who_and_why(
    name: str, command: Command, undertaker: Undertaker, tmp_path: Path
) -> None:
    state, args, action, results = ACTS[name]
    command.environ["ERASER_API_TOKENS_FILE"] = str(tmp_path / "tokens.toml")
    prepare(undertaker, state)
    if state == "held":
        command("hold", "add", "e-1", *WHO_AND_WHY)
    elif state == "token":
        command("console", "tokens", "create", "shop", "--scope", "read", *WHO_AND_WHY)
    elif state == "discarded":
        command("dead", "discard", "e-1", *WHO_AND_WHY)
    before = {line["id"] for line in command("audit", "--json").json}
    lines = b"job-1\njob-2\n" if name == "hold import" else b"".join(b"job-%d\n" % n for n in range(101))
    assert command(*name.split(), *args, *WHO_AND_WHY, input=lines).code in (0, 1)
    (entry,) = (line for line in command("audit", "--json").json if line["id"] not in before)
    assert (entry["act"], entry["by"], entry["reason"]) == (action, "ops-7", "CASE-12")
    assert entry["results"] == results
    assert entry["account"] == "default"


@pytest.mark.parametrize(
    "refused",
    [
        ["dead", "discard", "server_error-500-MSS.00000004", *WHO_AND_WHY],  # no --yes
        ["dead", "replay", "--all", "--yes", "--max", "1", *WHO_AND_WHY],
        ["dead", "discard", "e-1", "--reason", "a@b.c"],
        ["cancel", "e-1", "--reason", "T", "--by", "Ann Onymous"],
        ["resume"],
        ["request", "--from-file", "-", *WHO_AND_WHY],
        ["request", "job-1", "--max", "500", *WHO_AND_WHY],  # no cap stood in its way
    ],
)
def test_what_was_refused_or_needed_no_leave_is_no_act(
    refused: list[str], command: Command, undertaker: Undertaker
) -> None:
    undertaker.end("e-1", "e-2")
    assert command(*refused, input=b"".join(b"job-%d\n" % n for n in range(101))).code in (0, 2, 3)
    assert command("audit", "--json").json == []
    assert command("audit").out.startswith("No actions yet")


def test_who_acts_is_this_systems_user_where_nobody_says(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, known in (("ops-3", "ops-3"), ("Ann Onymous", None)):
        monkeypatch.setenv("LOGNAME", name)
        command("pause", "--reason", "T-1")
        (newest,) = command("audit", "--limit", "1", "--json").json
        assert newest["by"] == known or (known is None and newest["by"].startswith("uid-"))


def test_an_act_of_thousands_is_one_entry_that_shows_how_far_it_came(bench: Bench) -> None:
    bench.ledger.request(refs(MANY), DeletionRequest())

    def interrupted() -> Iterator[Target]:
        yield from refs(MANY[:500])
        raise KeyboardInterrupt

    action = AuditAction(of="a file")
    with pytest.raises(KeyboardInterrupt):
        bench.ledger.cancel(interrupted(), why="T-1", by="ops-1", action=action)
    (entry,) = entries(bench)
    assert (entry.results, entry.of, entry.job) == ({"cancelled": 500}, "a file", Target(BENCH_PROJECT, MANY[0]))
    bench.pass_time(60)
    bench.ledger.cancel(refs(MANY), why="T-1", by="ops-1", action=action)
    (entry,) = entries(bench)
    assert entry.results == {"cancelled": 1200}
    assert entry.last - entry.at == 60_000


def test_a_move_that_is_repeated_under_its_number_leaves_one_entry(bench: Bench) -> None:
    script = scripts.load("pause", clock=CLOCK)
    action = '{"why":"T-1","act":{"id":"a1","act":"gate.paused","why":"T-1","by":"ops-1"}}'
    for _ in range(2):
        script.run(bench.client, bench.p, "caller", 1, action)
    (entry,) = entries(bench)
    assert entry.results == {"paused": 1}


def test_entries_stay_as_long_as_records_and_no_number_of_them_pushes_one_out(bench: Bench) -> None:
    bench.ledger.pause(why="T-1")
    bench.pass_time(86_400)
    for n in range(30):
        bench.ledger.resume(why=f"T-{n}")
    bench.pass_time(399 * 86_400 - 1)
    assert bench.ledger.forget(keep_s=400 * 86_400.0) == 0
    assert len(entries(bench)) == 31
    bench.pass_time(2)
    assert bench.ledger.forget(keep_s=400 * 86_400.0) == 1
    assert {entry.action for entry in entries(bench)} == {ActionName.RESUMED}
    bench.pass_time(86_400)
    while bench.ledger.forget(keep_s=400 * 86_400.0, limit=7):
        pass
    assert bench.client.keys(bench.p + "audit*") == []


def test_what_time_frees_is_nobodys_act(bench: Bench) -> None:
    bench.request("a")
    bench.holds.add(refs(["a"]), why="T-1", by="ops-1", until_ms=bench.now + 1000)
    bench.pass_time(2)
    assert bench.holds.release_in_time() == 1
    assert [entry.action for entry in entries(bench)] == [ActionName.HELD]


def test_an_app_user_is_in_the_audit_by_a_hash_only(command: Command, undertaker: Undertaker) -> None:
    undertaker.request("job-1", app_user="u-7781")
    command("hold", "add", "--app-user", "u-7781", *WHO_AND_WHY)
    undertaker.ledger.take(worker="w1", key="k1")
    command("hold", "remove", "--app-user", "u-7781", *WHO_AND_WHY)
    removed, added = command("audit", "--json").json
    assert (added["results"], removed["results"]) == ({"held": 1}, {"released": 1, "removed": 1})
    assert added["app_user_hash"] == removed["app_user_hash"]
    output = command("audit").out
    assert f"app user #{added['app_user_hash'][:8]}: held" in output
    everything = repr([undertaker.redis.hgetall(key) for key in undertaker.redis.keys("*:audit:*")])
    assert "u-7781" not in output + everything + command("audit", "--json").out


def test_filters_choose_by_time_act_who_and_account(command: Command, tmp_path: Path) -> None:
    config = tmp_path / "eraser.toml"
    config.write_text('[accounts.a]\nprojects = ["p1"]\n[accounts.b]\nprojects = ["p2"]\n')
    house = {"ERASER_CONFIG": str(config)}
    command("pause", "--all", "--reason", "T-1", "--by", "ops-1", **house)
    command("resume", "--account", "b", "--reason", "T-2", "--by", "ops-2", **house)

    def found(*args: str) -> list[tuple[str, str]]:
        return [(line["account"], line["act"]) for line in command("audit", "--json", *args, **house).json]

    assert found()[0] == ("b", "gate.resumed")
    assert sorted(found()[1:]) == [("a", "gate.paused"), ("b", "gate.paused")]
    assert len({line["id"] for line in command("audit", "--json", "--act", "gate.paused", **house).json}) == 1
    assert found("--by", "ops-2") == [("b", "gate.resumed")]
    assert found("--account", "a") == [("a", "gate.paused")]
    assert found("--until", "1h") == []
    assert len(found("--since", "1h")) == 3
    assert len(found("--limit", "2")) == 2
    assert command("audit", "--until", "1h", **house).out.startswith("No action matches these filters")
    assert "and more before: --limit" in command("audit", "--limit", "1", **house).out
    assert "did you mean" in command("audit", "--account", "aa", **house).err


def test_the_table_says_what_was_done_to_what(command: Command, undertaker: Undertaker) -> None:
    undertaker.end(*(f"e-{n}" for n in range(101)))
    command("dead", "discard", "--all", "--yes", "--max", "300", *WHO_AND_WHY)
    command("pause", *WHO_AND_WHY)
    command("resume", *WHO_AND_WHY)
    command("cancel", "e-1", *WHO_AND_WHY)
    output = command("audit").out
    assert "all: 101 discarded (--max 300)" in output
    assert "calls: paused" in output
    assert "calls: resumed, was paused by an operator" in output
    assert "e-1: was discarded" in output
    assert output.count("ops-7") == 4
    assert output.endswith("4 acts.\n")
    assert [line["act"] for line in command("audit", "--act", "cap.lifted", "--json").json] == ["deletions.discarded"]


def test_a_replay_of_many_and_its_cancel_are_told_with_its_name(command: Command, undertaker: Undertaker) -> None:
    undertaker.end(*(f"e-{n}" for n in range(12)))
    (begun,) = command("dead", "replay", "--all", "--yes", "--no-wait", "--json", *WHO_AND_WHY).json
    command("replay", "cancel", begun["replay"], *WHO_AND_WHY)
    cancelled, replayed = command("audit", "--json").json
    assert (replayed["run"], cancelled["run"]) == (begun["replay"], begun["replay"])
    output = " ".join(command("audit").out.split())
    assert f"all: 12 to replay ({begun['replay']})" in output
    assert f"all: stopped ({begun['replay']})" in output


def test_the_first_job_is_named_and_the_others_are_counted(command: Command, undertaker: Undertaker) -> None:
    undertaker.request("job-1", "job-2", "job-3")
    command("cancel", "job-1", "job-2", "job-3", *WHO_AND_WHY)
    assert "job-1 and 2 others: 3 cancelled" in command("audit").out
    (entry,) = command("audit", "--json").json
    assert (entry["project_id"], entry["job_id"], entry["count"]) == (PROJECT, "job-1", 3)
