"""Whatever commands, the API, webhooks and receipts say is what the schemas in docs/schemas say, and each has one."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tests.interfaces.cli.test_parked import park
from tests.interfaces.cli.test_webhooks import give_up
from tests.receipts.test_archiving import settle
from tests.support.command import Command, Ended, near
from tests.support.dead_letters import PROJECT, Undertaker
from tests.support.erasures import PARTS, erased
from tests.support.http_site import Site
from tests.support.receipt_keys import new_keys
from tests.support.schemas import commands, name_of, options, why_not
from tests.support.webhook_receiver import Receiver
from worker.interfaces.api.openapi import DOCUMENT
from worker.interfaces.cli import schema_forms, schemas
from worker.ledger.damage import check
from worker.ledger.parking import ParkedKind, Parking
from worker.ledger.receipts import DAY_MS
from worker.model.errors import DryRun
from worker.model.target import Target
from worker.receipts.archiving import archive_day
from worker.receipts.sealing import seal_all
from worker.simulator import Simulator
from worker.webhooks.signing import new_secret

DOCS = Path(__file__).parents[3] / "docs"
DAY = int(time.time() * 1000) // DAY_MS - 3
GROUP = "server_error-500-MSS.00000004"
POLICY = f'[policies.old]\nprojects = ["{PROJECT}"]\nstates = ["TRAIN_FAILED"]\nolder_than = "90d"\n'
MOVED = f'[accounts.studio-b]\nprojects = ["{PROJECT}"]\n'
# Every command that has --json, in an order in which there is something to print. A line with --plan is also called
# without it, and is refused then. --reason and --by are added where a command has them.
CALLS = """
    status
    config check
    config show
    health
    health --beat
    console link
    doctor
    metrics
    learn job-a --plan
    learn job-a --confirm job-a
    learn --status
    retention plan old
    retention run old --plan
    retention runs
    retention run old --yes
    retention runs
    receipts recheck
    receipts rechecks
    receipts back list
    receipts back request --plan
    receipts back request --yes
    receipts export --to {tmp}/receipts.jsonl
    receipts export -o dsse
    receipts show done-1
    receipts show {archived} --to {tmp}/certificate.json
    receipts verify {tmp}/receipts.jsonl
    receipts verify {tmp}/torn.jsonl
    receipts verify {tmp}/certificate.json
    receipts cosign {day} --key {tmp}/witness.key --name witness.example/w1 --log-key {tmp}/receipts.pub --state {tmp}/w
    receipts relocate --plan
    receipts relocate --yes
    request new-1 dead-1 .. --run r-1
    request new-2 --wait 0.1s
    show new-1
    show dead-1
    show done-1
    show left-1
    list
    list -o json
    cancel new-1 nobody
    hold add new-2
    hold add --app-user u-1
    hold import {tmp}/ids
    hold list
    hold remove new-2 nobody
    hold remove --app-user u-1
    dead groups
    dead list
    dead list -o json
    dead show {group}
    dead discard {group} --plan
    dead discard dead-2
    dead discard dead-3
    dead restore --all --plan
    dead restore dead-3
    dead replay {group} --plan
    dead replay dead-3
    dead replay {group} --yes --no-wait
    replay list
    replay status
    status
    replay cancel {replay}
    related list
    related erase left-1 --plan
    related erase left-1 --yes
    related erase nobody
    related restore left-2 --plan
    related restore left-2 --yes
    related restore nobody
    pause
    status
    resume
    parked list
    parked list bad:eraser.delete
    parked send fault:eraser.delete
    parked discard bad:eraser.delete --plan
    parked discard bad:eraser.delete --yes
    damaged list
    damaged discard {project}/damaged-1
    webhooks add shop https://example.org/hooks
    webhooks edit shop --disable
    webhooks rotate shop --overlap 1h
    webhooks list
    webhooks remove shop --plan
    webhooks remove shop --yes
    webhooks deliveries
    webhooks test crm
    webhooks replay crm --plan
    webhooks replay crm {message}
    accounts list
    accounts rebind --endpoint {url}
    accounts move {project} --to default
    ERASER_NAMESPACE=new accounts rebind --endpoint {url} --plan
    ERASER_CONFIG={tmp}/moved.toml accounts move {project} --to studio-b --plan
    ERASER_CONFIG={tmp}/moved.toml status
    console tokens create shop --scope read
    console tokens rotate shop --overlap 1h
    console tokens list
    console tokens revoke shop
    redact dead-1 --plan
    redact dead-1 --yes
    audit
    receipts export
"""
ELSEWHERE = {"demo"}  # tests/demo/test_demo.py holds its lines against their schema
LINES = [shlex.split(line) for line in CALLS.strip().splitlines()]
SENT = ("One", "Many", "Act")
ANSWERS = {name: schema for name, schema in DOCUMENT["components"]["schemas"].items() if name not in SENT}
ENDS_WELL_WITHOUT_REDIS = """
    config check, config show, health, receipts verify, receipts cosign, webhooks test, console tokens
"""


class World:
    """An installation in which there is something of everything."""

    def __init__(self, command: Command, undertaker: Undertaker, tmp: Path, simulator: Simulator, hooks: Receiver):
        self.command, self.undertaker = command, undertaker
        signer = {name: new_keys(tmp, name)[0] for name in ("receipts", "witness")}["receipts"]
        files = {"CONFIG": "eraser.toml", "RECEIPT_KEY_FILE": "receipts.key", "API_TOKENS_FILE": "tokens.toml"}
        command.environ |= {f"ERASER_{name}": str(tmp / file) for name, file in files.items()}
        command.environ |= near(simulator)
        command.environ |= {"ERASER_RECEIPTS_DIR": str(tmp / "days"), "ERASER_WEBHOOKS_KEY": new_secret()}
        files = {"eraser.toml": POLICY + hooks.toml(tmp), "moved.toml": MOVED, "torn.jsonl": "{}", "ids": "imported-1"}
        for name, text in files.items():
            (tmp / name).write_text(text)
        archived = settle(undertaker, DAY, 3)[0]
        assert archive_day(undertaker.ledger, tmp / "days", now_ms=(DAY + 1) * DAY_MS + 5, signer=signer)
        (day,) = (tmp / "days" / "default").glob("*.jsonl")
        long_ago = time.time() - 100 * 86400
        simulator.add_jobs([{"job_id": f"old-{n}", "state": "TRAIN_FAILED", "created_at": long_ago} for n in range(2)])
        simulator.add_job("done-2", "TRAIN_FAILED")
        simulator.add_job("job-a")
        undertaker.end("dead-1", "dead-2", "dead-3", "dead-4", claim={"by": "ann", "why": "T-1"})
        undertaker.end("done-1", "done-2", to="deleted")
        for n, evidence in enumerate(("kept", "in_bin"), 1):
            erased(undertaker, f"left-{n}", parts=[{**one, "evidence": evidence, "named_by": "job"} for one in PARTS])
        park(Parking(undertaker.redis), ParkedKind.BAD, "eraser.delete", raw=False)
        park(Parking(undertaker.redis), ParkedKind.FAULT, "eraser.delete")
        undertaker.request("damaged-1")
        undertaker.redis.hset(f"{undertaker.ledger.prefix}d:{PROJECT}/damaged-1", "at", "yesterday")
        check(undertaker.ledger, [Target(PROJECT, "damaged-1")])
        message = give_up(undertaker, "told-1")[0]
        self.named: dict[str, Any] = {"tmp": tmp, "project": PROJECT, "group": GROUP, "url": simulator.url}
        self.named |= {"archived": archived, "day": day, "message": message}

    def __call__(self, line: list[str], **environ: str) -> Ended:
        """Call a line of `CALLS`; what it prints is held against its schema there."""
        words = [word.format(**self.named) for word in line]
        while "=" in words[0]:
            name, _, value = words.pop(0).partition("=")
            environ.setdefault(name, value)
        called = commands()[name_of(words) or ""]
        why = {"--reason": "TICKET-1", "--by": "ops-1"}
        words += [word for option in why if option in options(called) for word in (option, why[option])]
        seal_all(self.undertaker.ledger)
        run = self.command.process if words[:2] == ["parked", "send"] else self.command
        return run(*words, "--json", **environ)


@pytest.fixture
def world(command: Command, undertaker: Undertaker, tmp_path: Path) -> Iterator[World]:
    with Simulator(jobs=2) as simulator, Receiver() as receiver:
        yield World(command, undertaker, tmp_path, simulator, receiver)


def called(line: list[str]) -> str:
    return name_of([word for word in line if "=" not in word]) or ""


def error(ended: Ended) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(ended.err.splitlines()[-1])["error"]
    return found


def test_every_command_that_prints_json_has_a_schema_and_is_called() -> None:
    assert set(schema_forms.COMMANDS) == set(commands()), "write its forms into worker/interfaces/cli/schema_forms.py"
    assert {*map(called, LINES), *ELSEWHERE} == set(commands()), "add a line to CALLS"
    acts = {name for name, command in commands().items() if "--yes" in options(command)}
    assert {called(line) for line in LINES if "--plan" in line} == acts, "each act that asks for --yes has a plan"


def test_what_every_command_prints_is_what_its_schema_says(world: World) -> None:
    """And `--plan` ends with 0, the same without it with 3."""
    for line in LINES:
        ended = world(line)
        assert ended.out, (line, ended.err)
        if "--plan" in line:
            assert ended.code == 0, (line, ended.err)
            refused = world([word for word in line if word != "--plan"])
            assert (refused.code, error(refused)["rule"]) in ((3, DryRun.name), (3, "confirmation")), line
            assert refused.out == ended.out, line
        elif line == ["replay", "list"]:
            world.named["replay"] = ended.json[0]["replay"]


def test_every_command_ends_with_an_error_of_one_form(world: World) -> None:
    world.named["replay"] = "replay-1"
    for line in LINES:
        unknown = world([*line, "--nonsense"])
        assert (unknown.code, error(unknown)["type"]) == (2, "invalid"), line
        away = world(line, ERASER_REDIS_URL="redis://127.0.0.1:1")
        if not any(called(line).startswith(name.strip()) for name in ENDS_WELL_WITHOUT_REDIS.split(",")):
            assert away.code == 4, (line, away.all)


@pytest.mark.parametrize("form", [("--json",), ("-o", "json"), ("-ojson",), ("--output", "json"), ("--output=json",)])
def test_each_way_to_ask_for_json_is_one_for_errors_too(command: Command, form: tuple[str, ...]) -> None:
    assert error(command("list", "--state", "none", *form))["type"] == "invalid"


def test_the_files_are_those_of_the_code_and_the_page_names_them() -> None:
    """`python -m worker.interfaces.cli.schemas docs/schemas` writes them."""
    folder = DOCS / "schemas"
    assert {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*")} == schemas.files()
    page = (DOCS / "schemas.md").read_text(encoding="utf-8")
    for name, schema in schemas.schemas().items():
        Draft202012Validator.check_schema(schema)
        assert name in schema_forms.COMMANDS or f"(schemas/{name}.json)" in page


def test_each_field_of_a_form_is_in_the_vocabulary_once() -> None:
    fields = [field for named in schema_forms.FIELDS.values() for field in named.split()]
    names = [*schema_forms.TYPES, *schema_forms.WORDS, *schema_forms.PARTS, *fields]
    assert len(names) == len(set(names))
    words, used = set(schemas.vocabulary()["$defs"]), set[str]()
    for schema in (schemas.vocabulary(), *schemas.schemas().values()):
        used |= {name.rpartition("/")[2] for name in references(schema)}
    assert used - words == set()
    assert words - used - set(fields_of(ANSWERS)) == set(), "nothing has this field"


def references(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        yield from (schema["$ref"],) if "$ref" in schema else ()
    for inner in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ():
        yield from references(inner)


def test_a_field_too_many_too_few_or_of_another_type_is_found(command: Command, undertaker: Undertaker) -> None:
    undertaker.end("job-1")
    (line,) = command("show", "job-1", "--json").json
    assert why_not("show", line) == []
    for name, value in {"more": 1, "state": "done", "round": "1", "attempts": [{"n": 1}]}.items():
        assert why_not("show", line | {name: value})
    assert why_not("show", {name: value for name, value in line.items() if name != "lane"})


def test_the_api_answers_in_the_same_vocabulary(site: Site) -> None:
    result = site.ask("job-1").json()["results"][0]
    assert why_not("request", result) == []
    assert why_not("show", site.show("job-1")) == []
    assert set(fields_of(ANSWERS)) - set(schemas.vocabulary()["$defs"]) == set()


def fields_of(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        yield from schema["properties"] if "properties" in schema and "type" in schema else ()
    for inner in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ():
        yield from fields_of(inner)
