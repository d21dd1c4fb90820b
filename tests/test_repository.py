"""The files around the code say what is true: compose, Dockerfile, CI, README and the layers of the imports."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml  # type: ignore[import-untyped, unused-ignore]
from packaging.requirements import Requirement
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.support.waiting import PATIENCE_S, wait_until
from worker.config.durations import parse_duration
from worker.config.environment import RENAMED
from worker.config.keyless import AGENCY, DURATION, POLICY, POLICY_IDS, PROVIDER, SESSION, TOKEN_FILE
from worker.config.settings import KNOWN, Settings
from worker.interfaces.cli import errors
from worker.local.redis_server import find_server

ROOT = Path(__file__).parents[1]
TOOLS = Path(sys.executable).parent


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900, check=False)


def assert_clean(*command: str | Path) -> None:
    done = run(*command)
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}"


# Tools


def test_ruff_has_nothing_to_say() -> None:
    assert_clean(TOOLS / "ruff", "check", ".")


def test_every_file_is_formatted() -> None:
    assert_clean(TOOLS / "ruff", "format", "--check", ".")


def test_the_types_are_strict_and_hold() -> None:
    assert_clean(sys.executable, "-m", "mypy", "--strict")


# README and CI


def commands_of_readme() -> list[str]:
    blocks = re.findall(r"^```(\w*)\n(.*?)^```", (ROOT / "README.md").read_text(), re.M | re.S)
    shown = [block for language, block in blocks if language in ("", "sh", "bash", "console", "shell")]
    return [line.strip().removeprefix("$ ") for block in shown for line in block.splitlines()]


def test_ci_runs_exactly_what_the_readme_tells() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    (command,) = [line for line in script.splitlines() if "pytest" in line and not line.lstrip().startswith("#")]
    assert command in commands_of_readme(), f"README.md does not tell {command!r}"
    known = {"cd", "if", "else", "echo", "exit", "export", "fi", "set", command.split()[0]}
    if "`apt-get install chromium`" in (ROOT / "README.md").read_text(encoding="utf-8"):
        known.add("apt-get")
    others = [line for line in map(str.strip, script.splitlines()) if line and not line.startswith("#")]
    assert {line.split()[0] for line in others} <= known, "CI must do nothing that a reader of the README does not"


def test_ci_is_a_bash_script_that_anybody_can_start() -> None:
    path = ROOT / ".ci" / "run"
    assert path.stat().st_mode & 0o111
    assert path.read_text().startswith("#!/usr/bin/env bash\n")
    assert "set -euo pipefail" in path.read_text()
    assert_clean("bash", "-n", path)


def test_the_readme_begins_with_the_demo() -> None:
    demo = "python3 -m venv .venv && .venv/bin/pip install -q -e '.[local]' && .venv/bin/eraser demo"
    assert next(line for line in commands_of_readme() if line) == demo


def test_the_licence_is_apache_2() -> None:
    text = (ROOT / "LICENSE").read_text()
    assert "Apache License" in text
    assert "Version 2.0, January 2004" in text
    assert "The avatar-eraser authors" in text


# Old names

OLD_NAMES = {  # name -> the table of what is refused with the name of now
    **dict.fromkeys(RENAMED, "worker/config/environment.py"),
    **dict.fromkeys(errors.RENAMED, "worker/interfaces/cli/errors.py"),
}
# of metrics, events and JSON: nobody asks by them
GONE = r"\b(doorbells_total|doorbell\.lost|outrun|standin\.[a-z]+|settled_at|died_at)\b"


def texts() -> Iterator[tuple[str, str]]:
    """Every text of the repository, but for this file and what git does not keep."""
    for name in run("git", "ls-files").stdout.splitlines():
        path = ROOT / name
        if path != Path(__file__) and path.is_file() and path.suffix not in (".png", ".woff2"):
            yield name, path.read_text(encoding="utf-8")


@pytest.mark.parametrize(("old", "table"), OLD_NAMES.items())
def test_nothing_goes_by_an_old_name_but_where_it_is_refused(old: str, table: str) -> None:
    assert {name for name, text in texts() if re.search(rf"(?<![\w-]){re.escape(old)}\b", text)} == {table}


def test_nothing_that_is_read_has_an_old_name() -> None:
    assert [(name, found[0]) for name, text in texts() if (found := re.search(GONE, text))] == []


# Words

NO_NAMES = re.compile(r"_*(said|told|asked|seen|heard)", re.IGNORECASE)  # they do not say what it is


def names_in(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """(line, name) of what a file calls its own."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()) | ast.arg(arg=name):
                yield node.lineno, name
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield node.lineno, name


def test_a_name_says_what_it_stands_for() -> None:
    may_be_one = re.compile(rf"\b{NO_NAMES.pattern}\b\s*(?:[-+|&]?=|[:,()]|in\b)", re.IGNORECASE)
    wrong = [
        f"{name}:{line} {found}"
        for name, text in texts()
        if name.endswith(".py") and may_be_one.search(text)
        for line, found in names_in(ast.parse(text))
        if NO_NAMES.fullmatch(found)
    ]
    assert wrong == []


# Containers


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return found


def test_compose_follows_the_specification() -> None:
    schema = ["--builtin-schema", "vendor.compose-spec"]
    assert_clean(sys.executable, "-m", "check_jsonschema", *schema, "docker-compose.yml", "docker-compose.try.yml")


def test_every_name_in_compose_leads_somewhere(compose: dict[str, Any]) -> None:
    services, volumes, secrets = compose["services"], set(compose["volumes"]), set(compose["secrets"])
    for name, service in services.items():
        assert set(service.get("depends_on", {})) <= set(services), name
        assert set(service.get("secrets", [])) <= secrets, name
        assert {mount.split(":")[0] for mount in service.get("volumes", [])} <= volumes, name
    assert secrets == {secret for service in services.values() for secret in service.get("secrets", [])}
    assert volumes == {mount.split(":")[0] for service in services.values() for mount in service.get("volumes", [])}


def test_whoever_looks_for_receipts_has_their_volume(compose: dict[str, Any]) -> None:
    found = {
        name: one for name, one in compose["services"].items() if "ERASER_RECEIPTS_DIR" in one.get("environment", {})
    }
    assert {name: one.get("volumes") for name, one in found.items()} == {
        "worker": ["receipts:/receipts"],
        "console": ["receipts:/receipts:ro"],
    }
    assert {one["environment"]["ERASER_RECEIPTS_DIR"] for one in found.values()} == {"/receipts"}


def test_every_container_is_locked_down_and_watched(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        uid, _, gid = service["user"].partition(":")
        assert int(uid) > 0, name
        assert int(gid) > 0, name
        assert service["read_only"] is True, name
        assert service["init"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["restart"] == "unless-stopped", name
        assert service["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL"), name
        assert any(mount.startswith("/tmp") for mount in service["tmpfs"]), name
        assert "privileged" not in service, name


def test_worker_and_beat_run_celery_itself_without_a_shell(compose: dict[str, Any]) -> None:
    worker, beat = compose["services"]["worker"], compose["services"]["beat"]
    assert worker["command"][:4] == ["celery", "-A", "worker", "worker"]
    assert beat["command"][:4] == ["celery", "-A", "worker", "beat"]
    assert beat["command"][-2:] == ["-s", "/tmp/celerybeat-schedule"], "the rest of the file system is read-only"
    for service in (worker, beat):
        assert service["user"] == "10001:10001"
        assert service["healthcheck"]["test"][:3] == ["CMD", "eraser", "health"]
        assert service["depends_on"]["redis"]["condition"] == "service_healthy"
    assert beat["healthcheck"]["test"][3:] == ["--beat"], "a beat that is dead or frozen is no healthy one"


def test_the_console_is_watched_by_its_own_address(compose: dict[str, Any]) -> None:
    console = compose["services"]["console"]
    assert console["command"][:2] == ["eraser", "console"]
    assert "http://127.0.0.1:8710/healthz" in console["healthcheck"]["test"][-1]
    assert console["environment"].keys() >= compose["services"]["worker"]["environment"].keys()
    assert re.search(r'^ARG LOCK="web"$', (ROOT / "Dockerfile").read_text(), re.M)


def test_the_collector_takes_what_the_services_send_where_they_are_told_to(compose: dict[str, Any]) -> None:
    collector = compose["services"]["otel-collector"]
    assert {one["source"] for one in collector["configs"]} == set(compose["configs"])
    config = yaml.safe_load((ROOT / compose["configs"]["otel-collector"]["file"]).read_text())
    _, _, port = config["receivers"]["otlp"]["protocols"]["http"]["endpoint"].partition(":")
    text = (ROOT / "docker-compose.yml").read_text() + (ROOT / "docs" / "observability.md").read_text()
    assert set(re.findall(r"http://otel-collector:(\d+)", text)) == {port}
    assert set(config["service"]["pipelines"]) == {"traces", "metrics"}
    for pipeline in config["service"]["pipelines"].values():
        for kind, names in pipeline.items():
            assert set(names) <= set(config[kind]), names
    lock = set(re.findall(r"\bLOCK=(\w+)", text))
    assert lock == {"observability"} <= set(LOCKS)
    senders = {name for name, one in compose["services"].items() if "OTEL_EXPORTER_OTLP_ENDPOINT" in str(one)}
    assert {"worker", "beat", "console", "metrics"} <= senders


def test_a_call_can_finish_before_the_container_is_killed(compose: dict[str, Any]) -> None:
    grace = parse_duration(compose["services"]["worker"]["stop_grace_period"])
    assert grace >= Settings.load({}).call_timeout + 15


def test_redis_is_published_nowhere_and_what_has_no_password_on_this_machine_only(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        for port in service.get("ports", []):
            assert name in ("flower", "metrics", "console"), f"{name} publishes {port}"
            assert port.startswith("127.0.0.1:")
            if name == "console":
                continue  # it has tokens
            assert service["profiles"] == [name], "whoever wants it names it"


def test_the_metrics_have_no_key_to_metastudio(compose: dict[str, Any]) -> None:
    assert compose["services"]["metrics"]["secrets"] == ["redis_url"]


def test_compose_sets_only_settings_that_exist_and_no_secret(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        for variable, value in service.get("environment", {}).items():
            assert not variable.startswith("CELERY_"), f"{name}: it would beat our own settings"
            if variable.startswith("ERASER_"):
                assert variable in KNOWN, f"{name}: {variable}"
            if variable.endswith("_FILE") and value != f"${{{variable}:-}}":  # else .env names a file that is mounted
                assert value.removeprefix("/run/secrets/") in compose["secrets"], f"{name}: {variable}"
            elif not variable.endswith("_FILE"):
                assert not re.search(r"_AK$|_SK$|TOKEN|PASSWORD|_URL$", variable), f"{name}: {variable} by file, please"


NOT_IN_COMPOSE = {
    **dict.fromkeys(
        ("ERASER_REDIS_URL", "ERASER_CONSOLE_PASSWORD", "HUAWEICLOUD_SDK_AK", "HUAWEICLOUD_SDK_SK"), "secret"
    ),
    **dict.fromkeys(("ERASER_BROKER_URL", "HUAWEICLOUD_SDK_SECURITY_TOKEN"), "secret, and few need it"),
    "ERASER_WEBHOOKS_KEY": "secret, and few need it: its _FILE is passed",
    **dict.fromkeys(("ERASER_IAM_USER", "ERASER_IAM_PASSWORD", "ERASER_IAM_DOMAIN"), "not beside the key of this file"),
    "HUAWEICLOUD_SDK_CREDENTIALS_FILE": "not beside the key of this file",
    "HC_CONTAINER_…": "CCE sets them in a pod",
    "ERASER_REDIS_SERVER": "of `eraser up` and `eraser demo` alone",
}


def test_every_setting_that_is_no_secret_reaches_the_containers(compose: dict[str, Any]) -> None:
    settings, observed = ((ROOT / "docs" / f"{name}.md").read_text() for name in ("settings", "observability"))
    passed = compose["services"]["console"]["environment"]
    names = {
        name
        for row in re.findall(r"^\| (`[A-Z].*?) \|", settings + observed, re.M)
        for name in re.findall(r"`([A-Z][A-Z_]+(?:…)?)`", row)
    }
    named_elsewhere = set(re.findall(r"`((?:OTEL|SENTRY)_[A-Z_]+)", observed)) - {"OTEL_LOGS_EXPORTER"}
    oidc = {PROVIDER, AGENCY, TOKEN_FILE, SESSION, DURATION, POLICY, POLICY_IDS}
    wanted = (names | named_elsewhere | oidc) - {"HUAWEICLOUD_OIDC_…"}
    assert wanted >= {"ERASER_PROXY", "ERASER_REDIS_REPLICAS", "SENTRY_DSN", "OTEL_TRACES_EXPORTER"}
    assert wanted - passed.keys() == NOT_IN_COMPOSE.keys()
    metrics = compose["services"]["metrics"]["environment"]
    ours = {name for name in passed if name.startswith("OTEL_") and "TRACES" not in name}
    assert metrics.keys() >= ours | {"ERASER_NAMESPACE", "ERASER_CONFIG"}


@pytest.fixture
def place() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="compose-"))
    yield path
    shutil.rmtree(path)


def test_the_redis_of_compose_starts_with_the_password_and_keeps_everything(
    compose: dict[str, Any], place: Path
) -> None:
    """The command of the file, with other paths and a socket instead of the port."""
    (place / "redis_url").write_text("redis://:c4n4ry@redis:6379/0")
    (place / "valkey-server").symlink_to(find_server({}))
    shell, options, script = compose["services"]["redis"]["command"]
    script = script.replace("$$", "$").replace("dir /data", f"dir {place}")
    script = script.replace("requirepass", f"port 0\nunixsocket {place}/s\nrequirepass")
    server = subprocess.Popen(
        [shell, options, script],
        env={"PATH": f"{place}:/usr/bin:/bin", "URL_FILE": f"{place}/redis_url"},
        stdout=subprocess.DEVNULL,
    )
    try:
        wait_until((place / "s").exists, what="the server of docker-compose.yml is up")
        with redis.Redis(unix_socket_path=f"{place}/s", password="c4n4ry") as client:
            found = client.config_get("*")
        wanted = {"appendonly": "yes", "appendfsync": "everysec", "save": "", "maxmemory-policy": "noeviction"}
        assert wanted.items() <= found.items()
        assert int(found["maxmemory"]) > 0
        assert found["hash-max-listpack-value"] == "512"
        nobody = redis.Redis(unix_socket_path=f"{place}/s", retry=Retry(NoBackoff(), 0))
        with nobody, pytest.raises(redis.AuthenticationError):
            nobody.ping()
        if (command := Path(f"/proc/{server.pid}/cmdline")).exists():
            assert b"c4n4ry" not in command.read_bytes()
    finally:
        server.terminate()
        assert server.wait(PATIENCE_S) == 0, "the server itself gets the signal, not a shell around it"


def test_the_dockerfile_passes_hadolint() -> None:
    assert_clean(TOOLS / "hadolint", "Dockerfile")


LOCKS = {
    "web": ["web"],
    "flower": ["flower"],
    "observability": ["web", "otel", "sentry"],
    "build": [],
}  # -> the extras of pyproject.toml that are in it


def pinned(name: str) -> dict[str, tuple[str, str]]:
    """What a lock file pins: name -> (version, its hashes)."""
    text = (ROOT / "locks" / f"{name}.txt").read_text(encoding="utf-8")
    pins = re.findall(r"^([\w.-]+)==(\S+)[^\n]*\\\n((?:    --hash=\S+(?: \\)?\n)+)", text, re.M)
    assert len(pins) == len(re.findall(r"^[^\s#]", text, re.M)), "something is not pinned, or has no hash"
    return {package: (version, hashes) for package, version, hashes in pins}


@pytest.mark.parametrize("name", LOCKS)
def test_the_lock_files_pin_what_pyproject_allows_with_hashes(name: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    if name == "build":
        wanted = [*project["build-system"]["requires"], "cyclonedx-bom"]
    else:
        extras = project["project"]["optional-dependencies"]
        wanted = [*project["project"]["dependencies"], *(each for extra in LOCKS[name] for each in extras[extra])]
    pins = pinned(name)
    for requirement in map(Requirement, wanted):
        assert requirement.name in pins, f"run locks/compile: {requirement} is not in locks/{name}.txt"
        version, hashes = pins[requirement.name]
        assert requirement.specifier.contains(version), f"run locks/compile: {requirement.name} {version}"
        assert set(re.findall(r"--hash=(\w+):", hashes)) == {"sha256"}


def test_the_image_is_built_from_the_lock_files_and_from_nothing_else() -> None:
    build = (ROOT / "Dockerfile").read_text().replace("\\\n", "").rpartition("\nFROM ")[0]
    installs = re.findall(r"pip (?:--python \S+ )?(?:install|wheel) ([^&\n]*)", build)
    assert len(installs) == 4
    for words in installs:
        assert "--require-hashes" in words or {"--no-deps", "--no-index"} <= set(words.split()), words
    assert {"build", "web"} <= {path.stem for path in ROOT.glob("locks/*.txt")} == set(LOCKS)


def test_the_image_runs_as_nobody_special_and_without_a_shell() -> None:
    final = (ROOT / "Dockerfile").read_text().rpartition("\nFROM ")[2]
    assert "USER 10001:10001" in final
    assert 'PATH="/opt/eraser/bin:$PATH"' in final
    assert re.search(r'^HEALTHCHECK .*CMD \["eraser", "health"\]$', final, re.M)
    assert re.search(r'^CMD \["celery", "-A", "worker", "worker"', final, re.M)
    assert not re.search(r"gcc|build-essential|apt-get", final), "no build tools in what runs"


def test_only_what_is_built_goes_to_the_builder() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert next(line for line in lines if not line.startswith("#")) == "*", "an allow-list: secrets cannot slip in"
    copied = re.findall(r"^COPY (?!--from)(.*) \S+$", (ROOT / "Dockerfile").read_text(), re.M)
    assert {f"!{name}" for names in copied for name in names.split()} <= set(lines)


# Layers

ROOMS = (  # from the top: imports run downwards only, and beside each other not at all
    ("tasks",),
    ("celery",),
    ("interfaces",),
    ("demo",),  # it asks the services how its deletions end
    ("services",),
    ("local", "simulator"),
    ("execution",),
    ("retention", "replay", "receipts", "webhooks"),
    ("lookups",),
    ("rules",),
    ("ledger",),
    ("metastudio",),
    ("config",),
    ("model",),
)
HEIGHT = {room: len(ROOMS) - i for i, band in enumerate(ROOMS) for room in band}
LONGEST_MODULE = 300  # lines
PURE = (  # what is true: no input, no output, no clock, no chance
    "worker.model",
    "worker.rules",
    "worker.config.durations",
    "worker.config.redis_urls",
    "worker.config.urls",
    "worker.ledger.schema.fields",
    "worker.ledger.schema.gate",
    "worker.ledger.schema.keys",
    "worker.ledger.schema.states",
    "worker.ledger.types",
    "worker.ledger.values",
    "worker.metastudio.quota",
    "worker.metastudio.response",
    "worker.metastudio.targets",
    "worker.retention.cron",
    "worker.retention.matching",
    "worker.retention.plan",
    "worker.retention.policy",
)
PURE_STDLIB = {
    *("__future__", "abc", "bisect", "collections", "collections.abc", "dataclasses", "datetime", "decimal", "enum"),
    *("fractions", "functools", "ipaddress", "itertools", "json", "math", "operator", "re", "string", "types"),
    *("typing", "urllib.parse"),
}
MUST_NOT = [  # (inside, must not import, because)
    ("worker", ("tasks",), "tasks may use worker, never the reverse: Celery finds tasks by name"),
    ("worker", ("tests", "benchmarks"), "what runs does not need what tests it"),
    ("tasks", ("tests", "benchmarks"), "what runs does not need what tests it"),
    ("worker.ledger", ("worker.metastudio", "requests"), "the ledger does not know HTTP"),
    (
        "worker.simulator",
        (
            *(f"worker.{room}" for room in HEIGHT if room not in ("simulator", "metastudio", "config", "model")),
            *(f"worker.metastudio.{part}" for part in ("client", "signing", "transport", "parsing", "iam", "wiring")),
        ),
        "the simulator is the other side: it shares no code with what it judges",
    ),
]


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def room_of(module: str) -> str | None:
    """Where a module of ours lives; None where it is in no room."""
    first, _, rest = module.partition(".")
    room = "tasks" if first == "tasks" else rest.partition(".")[0]
    return room if room in HEIGHT else None


def folder_of(module: str) -> str:
    return module if (ROOT.joinpath(*module.split(".")) / "__init__.py").exists() else module.rpartition(".")[0]


def imports_of(path: Path) -> Iterator[tuple[int, str]]:
    """(line, module) of every import of a file, wherever it stands."""
    package = module_of(path) if path.name == "__init__.py" else module_of(path).rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, name.name) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            source = ".".join(filter(None, [*above, node.module or ""]))
            modules = [f"{source}.{name.name}" for name in node.names]
            yield from ((node.lineno, name if is_module(name) else source) for name in modules)


def is_module(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


def is_in(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def sources() -> list[Path]:
    return sorted([*(ROOT / "worker").rglob("*.py"), *(ROOT / "tasks").rglob("*.py")])


def own_imports() -> Iterator[tuple[Path, int, str]]:
    """(file, line, module) of every import of ours by ours."""
    for path in sources():
        yield from (
            (path, line, module) for line, module in imports_of(path) if module.split(".")[0] in ("worker", "tasks")
        )


def test_every_module_is_in_a_room() -> None:
    loose = [path for path in sources() if module_of(path) != "worker" and room_of(module_of(path)) is None]
    loose += [path for path in (ROOT / "worker").glob("*.py") if path.name not in ("__init__.py", "celery.py")]
    assert not loose, f"move them into a room of ROOMS, or make one: {loose}"


def test_every_folder_says_what_lives_there() -> None:
    folders = {path.parent for path in sources()}
    silent = [
        folder for folder in folders if not ast.get_docstring(ast.parse((folder / "__init__.py").read_text("utf-8")))
    ]
    assert not silent, f"one sentence in its __init__.py, on what lives there and what may not: {silent}"


def test_no_module_is_long() -> None:
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in sources()}
    long = {str(path.relative_to(ROOT)): number for path, number in lines.items() if number > LONGEST_MODULE}
    assert not long, f"split at a natural seam what is above {LONGEST_MODULE} lines: {long}"


def test_imports_run_downwards() -> None:
    wrong = []
    for path, line, module in own_imports():
        inside, imported = room_of(module_of(path)), room_of(module)
        if inside is None or imported is None or inside == imported:
            continue
        if HEIGHT[imported] >= HEIGHT[inside]:
            wrong.append(f"{path.relative_to(ROOT)}:{line} imports {module}, but {imported} is not below {inside}")
    assert not wrong, "\n".join(wrong)


def test_no_folders_import_each_other() -> None:
    edges: dict[str, set[str]] = {}
    for path, _, module in own_imports():
        inside, imported = folder_of(module_of(path)), folder_of(module)
        if inside != imported and imported != "worker":
            edges.setdefault(inside, set()).add(imported)

    def reached(start: str) -> set[str]:
        found, todo = set[str](), [start]
        while todo:
            new = edges.get(todo.pop(), set()) - found
            found |= new
            todo += new
        return found

    circles = sorted(folder for folder in edges if folder in reached(folder))
    assert not circles, f"each of these imports itself by way of others: {circles}"


def test_what_must_not_be_imported_is_not() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {module}, but {inside} must not: {because}"
        for path in sources()
        for line, module in imports_of(path)
        for inside, forbidden, because in MUST_NOT
        if is_in(module_of(path), inside) and any(is_in(module, package) for package in forbidden)
    ]
    assert not wrong, "\n".join(wrong)


def test_what_is_true_needs_no_input_no_clock_and_no_chance() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {module}, but this module is pure: pass what it needs as an argument"
        for path in sources()
        if any(is_in(module_of(path), pure) for pure in PURE)
        for line, module in imports_of(path)
        if module not in PURE_STDLIB and not any(is_in(module, pure) for pure in PURE)
    ]
    assert not wrong, "\n".join(wrong)


IMPORT_ALL = """
import importlib, sys
import celery, redis, requests, click, rich, kombu.transport.redis  # what others do at import is not ours
def watch(event, args):
    if event in ("socket.connect", "socket.bind", "subprocess.Popen", "os.fork", "os.putenv"):
        raise RuntimeError(f"{name}: {event} at import")
sys.addaudithook(watch)
for name in sys.argv[1:]:
    importlib.import_module(name)
"""


def test_an_import_opens_no_socket_and_starts_no_process() -> None:
    modules = [module_of(path) for path in sources() if path.name != "__main__.py"]
    assert_clean(sys.executable, "-c", IMPORT_ALL, *modules)
