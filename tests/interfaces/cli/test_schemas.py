"""The schemas in docs/schemas are those of the code, and what commands print is what they say."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from tests.support.command import Command
from tests.support.dead_letters import PROJECT, Undertaker
from tests.support.http_site import Site
from worker.interfaces.cli import schemas
from worker.ledger.parking import Parked, ParkedKind, Parking
from worker.receipts.sealing import seal_all
from worker.simulator import Simulator

DOCS = Path(__file__).parents[3] / "docs" / "schemas"
WHY = ("--reason", "TICKET-1", "--by", "ops-1")
GROUP = "server_error-500-MSS.00000004"
VALID: Registry[Any] = Registry().with_resource(
    schemas.VOCABULARY,
    Resource.from_contents(schemas.vocabulary()),  # type: ignore[arg-type]
)
POLICY = f'[policies.old]\nprojects = ["{PROJECT}"]\nstates = ["TRAIN_FAILED"]\nolder_than = "90d"\n'
CALLS = [  # in this order; of each the schema is that of its first words
    ("request", "new-1", "dead-1", "..", "--run", "r-1", *WHY),
    ("show", "new-1"),
    ("show", "dead-1"),
    ("show", "done-1"),
    ("list",),
    ("status",),
    ("cancel", "new-1", "nobody", *WHY),
    ("hold", "add", "kept-1", *WHY),
    ("hold", "list"),
    ("dead", "groups"),
    ("dead", "list"),
    ("dead", "show", GROUP),
    ("dead", "replay", GROUP, "--plan", *WHY),
    ("dead", "discard", GROUP, "--plan", *WHY),
    ("dead", "replay", "dead-2", *WHY),
    ("dead", "discard", "dead-3", *WHY),
    ("dead", "restore", "dead-3", *WHY),
    ("dead", "replay", GROUP, "--yes", "--no-wait", *WHY),
    ("replay", "list"),
    ("replay", "status"),
    ("pause", *WHY),
    ("resume", *WHY),
    ("parked", "list"),
    ("parked", "list", "bad:eraser.delete"),
    ("parked", "discard", "bad:eraser.delete", "--yes", *WHY),
    ("accounts", "list"),
    ("console", "tokens", "create", "shop", "--scope", "read"),
    ("console", "tokens", "rotate", "shop", *WHY),
    ("console", "tokens", "list"),
    ("console", "tokens", "revoke", "shop", *WHY),
    ("redact", "dead-1", "--plan", *WHY),
    ("redact", "dead-1", "--yes", *WHY),
    ("redact", "dead-1", "--yes", *WHY),
    ("audit",),
]


CALLS_TO_METASTUDIO = [  # the same, with jobs to list, a policy, and a file of receipts
    ("doctor",),
    ("retention", "plan", "old"),
    ("retention", "run", "old", "--plan"),
    ("retention", "runs"),
    ("retention", "run", "old", "--yes", "--by", "ops-1"),
    ("retention", "runs"),
    ("retention", "plan", "old"),
    ("receipts", "recheck", "--by", "ops-1"),
    ("receipts", "rechecks"),
    ("receipts", "back", "list"),
    ("receipts", "back", "request", "--plan", *WHY),
    ("receipts", "back", "request", "--yes", *WHY),
    ("receipts", "verify", "{files}/receipts.jsonl"),
    ("receipts", "verify", "{files}/torn.jsonl"),
    ("receipts", "verify", "{files}/certificate.json"),
    ("learn", "job-a", *WHY),
    ("learn", "job-a", "--confirm", "job-a", *WHY),
    ("learn", "--status"),
]


def errors(command: str, line: Any) -> list[str]:
    validator = Draft202012Validator(schemas.schema(command), registry=VALID)
    return [error.message for error in validator.iter_errors(line)]


def all_fit(command: Command, calls: Iterable[tuple[str, ...]]) -> set[str]:
    """Each line that these calls print fits its schema. Returns the commands that were called."""
    commands = set()
    for words in calls:
        ended = command(*words, "--json")
        name = next(name for name in schemas.COMMANDS if words[: len(name.split())] == tuple(name.split()))
        assert ended.out, (words, ended.err)
        for line in ended.json:
            assert errors(name, line) == [], (words, line)
        commands.add(name)
    return commands


def test_the_files_are_those_of_the_code() -> None:
    """`python -m worker.interfaces.cli.schemas docs/schemas` writes them."""
    assert {path.name: path.read_text(encoding="utf-8") for path in DOCS.glob("*.json")} == schemas.files()
    for name in schemas.COMMANDS:
        Draft202012Validator.check_schema(schemas.schema(name))


def test_each_field_of_a_form_is_in_the_vocabulary_once() -> None:
    named = [field for fields in schemas.FIELDS.values() for field in fields.split()]
    assert len(named) == len(set(named))
    words = schemas.vocabulary()["$defs"]
    for forms in schemas.COMMANDS.values():
        for form in forms:
            assert {field.partition("=")[2] or field for field in form.split()} <= set(words)


def test_what_commands_print_is_what_the_schemas_say(command: Command, undertaker: Undertaker, tmp_path: Path) -> None:
    command.environ["ERASER_API_TOKENS_FILE"] = str(tmp_path / "tokens.toml")
    undertaker.end("dead-1", "dead-2", "dead-3", "dead-4", claim={"by": "ann", "why": "T-1"})
    undertaker.end("done-1", to="deleted")
    seal_all(undertaker.ledger)
    bad = Parked("m-1", "eraser.delete", "job id: found '/'", 1_795_355_663_000.0, project=PROJECT)
    Parking(undertaker.redis).park(ParkedKind.BAD, "eraser.delete", bad)
    assert len(all_fit(command, CALLS)) > 20


def test_what_commands_print_that_call_metastudio_is_what_the_schemas_say(
    command: Command, undertaker: Undertaker, tmp_path: Path
) -> None:
    with Simulator(jobs=2) as simulator:
        command.environ |= {"ERASER_ENDPOINT": simulator.url, "ERASER_RATE": "1000", "HUAWEICLOUD_SDK_AK": simulator.ak}
        command.environ |= {"HUAWEICLOUD_SDK_SK": simulator.sk, "ERASER_CONFIG": str(tmp_path / "eraser.toml")}
        del command.environ["ERASER_REGION"]
        (tmp_path / "eraser.toml").write_text(POLICY)
        (tmp_path / "torn.jsonl").write_text("{}")
        long_ago = time.time() - 100 * 86400
        simulator.add_jobs([{"job_id": f"old-{n}", "state": "TRAIN_FAILED", "created_at": long_ago} for n in range(2)])
        simulator.add_job("done-2", "TRAIN_FAILED")
        simulator.add_job("job-a")
        undertaker.end("done-1", "done-2", to="deleted")
        seal_all(undertaker.ledger)
        for name, to in {"receipts.jsonl": ("export",), "certificate.json": ("show", "done-1", "-o", "json")}.items():
            assert command("receipts", *to, "--to", str(tmp_path / name)).code == 0
        calls = [tuple(word.format(files=tmp_path) for word in words) for words in CALLS_TO_METASTUDIO]
        names = {name for name in schemas.COMMANDS if name.startswith(("doctor", "learn", "receipts", "retention"))}
        assert all_fit(command, calls) == names


def test_a_field_too_many_too_few_or_of_another_type_is_found(command: Command, undertaker: Undertaker) -> None:
    undertaker.request("job-1")
    (line,) = command("show", "job-1", "--json").json
    assert errors("show", line) == []
    changes: list[Callable[[dict[str, Any]], Any]] = [
        lambda found: found.pop("lane"),
        lambda found: found.update(more=1),
        lambda found: found.update(state="done"),
        lambda found: found.update(round="1"),
    ]
    for change in changes:
        change(wrong := json.loads(json.dumps(line)))
        assert errors("show", wrong)


def test_the_api_answers_in_the_same_vocabulary(site: Site) -> None:
    result = site.ask("job-1").json()["results"][0]
    assert errors("request", result) == []
    assert errors("show", site.show("job-1")) == []
