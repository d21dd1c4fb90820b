"""docker-compose.try.yml beside docker-compose.yml: what it must not forget."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped, unused-ignore]

from worker.config.settings import KNOWN

ROOT = Path(__file__).parents[2]
HARMLESS = {  # pace, times and looks, and spans of a simulator
    *("ERASER_RATE", "ERASER_RECHECK", "ERASER_LOG_FORMAT", "ERASER_REASON_PATTERN", "ERASER_RECORD_TTL"),
    *("ERASER_RETRY_SCHEDULE", "ERASER_NOT_DELETABLE_SCHEDULE", "ERASER_DEADLINE", "ERASER_LEASE"),
    *("ERASER_CONNECT_TIMEOUT", "ERASER_READ_TIMEOUT", "ERASER_CALL_TIMEOUT"),
    *("ERASER_RELATED", "ERASER_RELATED_SCHEDULE", "ERASER_RELATED_ASSETS"),
    *("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_TRACES_EXPORTER", "OTEL_METRICS_EXPORTER"),
    *("OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG", "OTEL_METRIC_EXPORT_INTERVAL"),
    *("OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES", "OTEL_SDK_DISABLED"),
}


def load(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / name).read_text())
    return found


@pytest.fixture(scope="module")
def base() -> dict[str, Any]:
    return load("docker-compose.yml")


@pytest.fixture(scope="module")
def trial() -> dict[str, Any]:
    return load("docker-compose.try.yml")


def test_it_is_a_project_of_its_own(base: dict[str, Any], trial: dict[str, Any]) -> None:
    assert "name" not in base
    assert trial["name"] == "avatar-eraser-try", "else it would replace a production in the same folder"


def test_no_secret_has_to_be_written(base: dict[str, Any], trial: dict[str, Any]) -> None:
    """Each secret's file is there, and none of them is read: what is read instead is made at the start."""
    assert trial["secrets"].keys() == base["secrets"].keys()
    for secret in trial["secrets"].values():
        assert (ROOT / secret["file"]).is_file()
    for name, service in base["services"].items():
        if not service.keys() & {"environment", "secrets"}:
            continue  # another project's image, which knows nothing of ours
        read = service.get("environment", {}) | trial["services"][name]["environment"]
        assert [value for value in read.values() if "/run/secrets" in value] == [], name
        assert "made:/made:ro" in trial["services"][name]["volumes"], name
        assert "/run/secrets" not in str(service.get("command", "")), name
        assert "/run/secrets" not in str(service["healthcheck"]), name


def test_what_it_sets_exists(trial: dict[str, Any]) -> None:
    for name, service in trial["services"].items():
        ours = [variable for variable in service.get("environment", {}) if variable.startswith("ERASER_")]
        assert set(ours) <= set(KNOWN), name


def test_nothing_of_an_account_comes_along(base: dict[str, Any], trial: dict[str, Any]) -> None:
    """An .env of a production in the same folder names a region and projects; here they are emptied."""
    for service in ("worker", "metrics"):
        environment = base["services"][service]["environment"]
        taken = {name for name, value in environment.items() if str(value).startswith("${")}
        assert taken - HARMLESS <= trial["services"][service]["environment"].keys(), service


@pytest.mark.parametrize("name", ["simulator", "ready"])
def test_what_it_adds_is_locked_down_and_published_nowhere(trial: dict[str, Any], name: str) -> None:
    service = trial["services"][name]
    assert service["user"] == "10001:10001"
    assert (service["read_only"], service["init"]) == (True, True)
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not {"ports", "privileged", "network_mode"} & service.keys()
