"""The files in deploy/: what they name exists in the product, and no pod may do what it need not."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import click
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
PODS = {each["metadata"]["name"]: each["spec"]["template"] for each in OBJECTS if each["kind"] == "Deployment"}
NAMES = pytest.mark.parametrize("name", PODS)


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl has no pip package")
@pytest.mark.parametrize("folder", [KUBERNETES, KUBERNETES / "keda"])
def test_kustomize_builds_it(folder: Path) -> None:
    done = subprocess.run(["kubectl", "kustomize", folder], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


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


@NAMES
def test_it_sets_only_settings_that_exist_and_secrets_that_are_mounted(name: str) -> None:
    pod = PODS[name]["spec"]
    (secret,) = [volume["secret"] for volume in pod["volumes"] if "secret" in volume]
    files = {f"/run/secrets/eraser/{item['path']}" for item in secret["items"]}
    told = {each["name"]: each["value"] for each in pod["containers"][0]["env"]}
    told |= dict(line.split("=") for line in (KUBERNETES / "settings.env").read_text().splitlines())
    for setting in told:
        known = setting.startswith("HUAWEICLOUD_SDK_") or {setting, setting.removesuffix("_FILE")} & set(KNOWN)
        assert known, setting
    assert files == {value for value in told.values() if value.startswith("/run/secrets/")}


@NAMES
def test_its_command_and_its_probes_exist(name: str) -> None:
    (container,) = PODS[name]["spec"]["containers"]
    probes = [container[probe] for probe in ("livenessProbe", "readinessProbe") if probe in container]
    commands = [container["command"], *(probe["exec"]["command"] for probe in probes if "exec" in probe)]
    for program, command, *words in commands:
        if program == "celery":
            assert (command, words[:2]) == ("-A", ["worker", name.removeprefix("eraser-")])
            continue
        found = eraser.get_command(click.Context(eraser), command)
        assert found is not None
        options = {option for parameter in found.params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options
    ports = {port["name"]: port["containerPort"] for port in container.get("ports", ())}
    for probe in probes:
        if asked := probe.get("httpGet"):
            assert asked["path"] in ("/healthz", "/readyz", "/metrics")
            assert str(ports[asked["port"]]) == container["command"][-1]


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
