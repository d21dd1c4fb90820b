"""The files in deploy/: what they name exists in the product, and no pod and no service may do what it need not."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import kubernetes_validate
import promql_parser as promql
import pytest
import yaml

from tests.support.promql import selectors
from worker.config.durations import parse_duration
from worker.config.settings import KNOWN, Settings
from worker.interfaces.cli import eraser

KUBERNETES = Path(__file__).parents[1] / "deploy" / "kubernetes"
NAMED = yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text())["resources"]
OBJECTS: list[dict[str, Any]] = [each for name in NAMED for each in yaml.safe_load_all((KUBERNETES / name).read_text())]
PAGE = (KUBERNETES.parents[1] / "docs" / "deploying.md").read_text(encoding="utf-8")
PODS = {each["metadata"]["name"]: each["spec"]["template"] for each in OBJECTS if each["kind"] == "Deployment"}
NAMES = pytest.mark.parametrize("name", PODS)
SYSTEMD = KUBERNETES.with_name("systemd")
SERVICES = {path.stem: path for path in SYSTEMD.glob("*.service")}
EACH_SERVICE = pytest.mark.parametrize("name", SERVICES)
NEEDS_SYSTEMD = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd has no pip package")
BIN = "/opt/eraser/bin/"
EXPOSED_AT_MOST = "20"  # of 100, by systemd's own reckoning


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl has no pip package")
@pytest.mark.parametrize("folder", [KUBERNETES, KUBERNETES / "keda"])
def test_kustomize_builds_it(folder: Path) -> None:
    done = subprocess.run(["kubectl", "kustomize", folder], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("version", ["1.29", "1.37"])
def test_each_object_is_what_kubernetes_knows(version: str) -> None:
    """Of an object of KEDA's nobody here has the schema."""
    for each in OBJECTS:
        assert kubernetes_validate.validate(each, version, strict=True) == version, each["metadata"]["name"]


@NAMES
def test_a_pod_is_locked_down(name: str) -> None:
    pod = PODS[name]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod["automountServiceAccountToken"] is pod["enableServiceLinks"] is False
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    assert mounted == {volume["name"] for volume in pod["volumes"]}
    receipts = {each["value"] for each in container["env"] if each["name"] == "ERASER_RECEIPTS_DIR"}
    assert receipts == {mount["mountPath"] for mount in container["volumeMounts"] if mount["name"] == "receipts"}


@NAMES
def test_it_sets_only_settings_that_exist_and_secrets_that_are_mounted(name: str) -> None:
    pod = PODS[name]["spec"]
    (secret,) = [volume["secret"] for volume in pod["volumes"] if "secret" in volume]
    files = {f"/run/secrets/eraser/{item['path']}" for item in secret["items"]}
    settings = {each["name"]: each["value"] for each in pod["containers"][0]["env"]}
    settings |= dict(line.split("=") for line in (KUBERNETES / "settings.env").read_text().splitlines())
    for setting in settings:
        known = setting.startswith("HUAWEICLOUD_SDK_") or {setting, setting.removesuffix("_FILE")} & set(KNOWN)
        assert known, setting
    assert files == {value for value in settings.values() if value.startswith("/run/secrets/")}


def command_exists(name: str, words: list[str]) -> None:
    program, command, *rest = words
    if program == "celery":
        assert (command, rest[:2]) == ("-A", ["worker", name.removeprefix("eraser-")])
        return
    found = eraser.get_command(click.Context(eraser), command)
    assert (program, found is not None) == ("eraser", True)
    options = {option for parameter in found.params for option in parameter.opts}  # type: ignore[union-attr]
    assert {word for word in rest if word.startswith("--")} <= options


@NAMES
def test_its_command_and_its_probes_exist(name: str) -> None:
    (container,) = PODS[name]["spec"]["containers"]
    probes = [container[probe] for probe in ("livenessProbe", "readinessProbe") if probe in container]
    for words in [container["command"], *(probe["exec"]["command"] for probe in probes if "exec" in probe)]:
        command_exists(name, words)
    ports = {port["name"]: port["containerPort"] for port in container.get("ports", ())}
    for probe in probes:
        if request := probe.get("httpGet"):
            assert request["path"] in ("/healthz", "/readyz", "/metrics")
            assert str(ports[request["port"]]) == container["command"][-1]


def test_a_call_can_finish_before_the_pod_is_killed() -> None:
    grace = PODS["eraser-worker"]["spec"]["terminationGracePeriodSeconds"]
    assert grace > Settings.load({}).call_timeout == parse_duration("45s")


def test_each_selector_finds_a_pod() -> None:
    for each in OBJECTS:
        spec = each.get("spec", {})
        selector = spec.get("podSelector") or spec.get("selector") or {}
        labels = selector.get("matchLabels", selector if each["kind"] == "Service" else {})
        named = list(labels.values()) + [v for one in selector.get("matchExpressions", ()) for v in one["values"]]
        assert set(named) <= set(PODS), each["metadata"]["name"]


def test_keda_counts_by_metrics_that_exist() -> None:
    scaled = yaml.safe_load((KUBERNETES / "keda" / "worker.yaml").read_text())["spec"]
    assert scaled["scaleTargetRef"]["name"] in PODS
    (trigger,) = scaled["triggers"]
    names = {each.name for each in selectors(promql.parse(trigger["metadata"]["query"]))}
    documented = set(re.findall(r"`(avatar_eraser_\w+)`", (KUBERNETES.parents[1] / "docs" / "metrics.md").read_text()))
    assert {name.removesuffix("_sum").removesuffix("_count") for name in names} <= documented
    assert len(names) == 5


# -- systemd -----------------------------------------------------------------------------------------------------------


def entries(name: str) -> dict[str, list[str]]:
    """What a service says, with what all of them share: key -> its values."""
    found: dict[str, list[str]] = {}
    for path in (SERVICES[name], *sorted((SYSTEMD / "eraser-.service.d").glob("*.conf"))):
        for line in path.read_text().splitlines():
            key, is_entry, value = line.partition("=")
            if is_entry and not line.startswith("#"):
                found.setdefault(key, []).append(value)
    return found


@EACH_SERVICE
def test_a_service_runs_what_its_pod_runs(name: str) -> None:
    (command,) = entries(name)["ExecStart"]
    assert command.startswith(BIN)
    words = command.removeprefix(BIN).split()
    command_exists(name, words)
    pod = PODS[name]["spec"]["containers"][0]["command"]
    assert [word for word in words if word != "127.0.0.1"] == [word for word in pod if word != "0.0.0.0"]


@EACH_SERVICE
def test_a_service_has_the_secrets_of_its_pod_as_credentials_and_no_other_settings_than_exist(name: str) -> None:
    service = entries(name)
    loaded = dict(each.split(":") for each in service["LoadCredential"])
    assert loaded == {each: f"/etc/avatar-eraser/credentials/{each}" for each in loaded}
    settings = dict(one.split("=") for line in service["Environment"] for one in line.split())
    (secret,) = [volume["secret"] for volume in PODS[name]["spec"]["volumes"] if "secret" in volume]
    assert set(loaded) == {item["key"] for item in secret["items"]}
    assert {value for value in settings.values() if value.startswith("%d/")} == {f"%d/{each}" for each in loaded}
    settings |= dict(line.split("=") for line in (SYSTEMD / "eraser.env").read_text().splitlines())
    for setting in settings:
        known = setting.startswith(("HUAWEICLOUD_SDK_", "PYTHON"))
        assert known or {setting, setting.removesuffix("_FILE")} & set(KNOWN), setting


@EACH_SERVICE
def test_a_service_is_locked_down_and_starts_again_whatever_ends_it(name: str) -> None:
    service = entries(name)
    for key, value in {
        "NoNewPrivileges": "yes",
        "CapabilityBoundingSet": "",
        "ProtectSystem": "strict",
        "ProtectHome": "yes",
        "PrivateTmp": "yes",
        "Restart": "always",
        "StartLimitIntervalSec": "0",
        "KillMode": "mixed",
        "User": "eraser",
    }.items():
        assert service[key] == [value], key


def test_a_call_can_finish_before_the_service_is_killed() -> None:
    (patience,) = entries("eraser-worker")["TimeoutStopSec"]
    assert parse_duration(patience) > Settings.load({}).call_timeout


def test_the_page_makes_the_secrets_that_are_loaded_and_no_other() -> None:
    (installed,) = re.findall(r"^install -m 600 (.+) /etc/avatar-eraser/credentials$", PAGE, re.M)
    loaded = {each.partition(":")[0] for name in SERVICES for each in entries(name)["LoadCredential"]}
    assert set(installed.split()) == set(re.findall(r"--from-file=(\w+)", PAGE)) == loaded


def test_the_page_gives_commands_the_settings_of_the_console() -> None:
    (block,) = re.findall(r"^set -a\n(.*?)^```", PAGE, re.M | re.S)
    settings = dict(one.split("=") for line in entries("eraser-console")["Environment"] for one in line.split())
    places = {"%d": "/etc/avatar-eraser/credentials", "%S": "/var/lib"}
    expected = {name: places.get(value[:2], value[:2]) + value[2:] for name, value in settings.items()}
    assert dict(re.findall(r"^(\w+)=(.+)$", block, re.M)) == {
        name: value for name, value in expected.items() if not name.startswith("PYTHON")
    }


def analyzed(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """What systemd says of the services, with this interpreter's programs in the place of the installed ones."""
    shutil.copytree(SYSTEMD, folder, dirs_exist_ok=True)
    units = [folder / path.name for path in SERVICES.values()]
    for unit in units:
        unit.write_text(unit.read_text().replace(BIN, f"{Path(sys.executable).parent}/"))
    env = os.environ | {"SYSTEMD_UNIT_PATH": f"{folder}:"}
    command = ["systemd-analyze", *words, *map(str, units)]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)


@NEEDS_SYSTEMD
def test_systemd_understands_every_line(tmp_path: Path) -> None:
    done = analyzed(tmp_path, "verify", "--man=no")
    assert (done.returncode, done.stderr) == (0, "")


@NEEDS_SYSTEMD
def test_systemd_calls_little_of_it_exposed(tmp_path: Path) -> None:
    done = analyzed(tmp_path, "security", "--no-pager", "--offline=yes", f"--threshold={EXPOSED_AT_MOST}")
    if "unrecognized option" in done.stderr:
        pytest.skip("this systemd cannot judge a file: it is older than 250")
    assert done.returncode == 0, done.stdout[-300:] + done.stderr
    assert done.stdout.count("Overall exposure level") == len(SERVICES)
