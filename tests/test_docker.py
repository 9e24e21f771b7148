"""The container files, checked as text: what they copy exists, what they use is pinned, nothing secret is in them."""

import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parent.parent
DOCKERFILE = (ROOT / "docker" / "Dockerfile").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    text = (ROOT / "docker" / "compose.yaml").read_text(encoding="utf-8")
    document: dict[str, Any] = YAML(typ="safe", pure=True).load(text)
    return document


def environment(service: dict[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in service.get("environment", {}).items()}


def test_everything_the_image_copies_exists() -> None:
    copied = re.findall(r"^COPY (?:--\S+ )*(.+) \S+$", DOCKERFILE, flags=re.MULTILINE)
    names = [name for line in copied for name in line.split()]
    assert {"pyproject.toml", "README.md", "LICENSE", "harness", "studies"} <= set(names)
    assert all((ROOT / name).exists() for name in names)


def test_the_image_is_pinned_and_does_not_run_as_root() -> None:
    assert re.search(r"^FROM python:3\.\d+\.\d+-slim-\w+$", DOCKERFILE, flags=re.MULTILINE)
    assert re.search(r"^ARG UV_VERSION=\d+\.\d+\.\d+$", DOCKERFILE, flags=re.MULTILINE)
    users = re.findall(r"^USER (\S+)$", DOCKERFILE, flags=re.MULTILINE)
    assert users and users[-1] not in ("root", "0")
    assert DOCKERFILE.index("USER harness") < DOCKERFILE.index("ENTRYPOINT")


def test_the_image_installs_an_extra_that_exists() -> None:
    (extra,) = re.findall(r'uv pip install "\.\[(\w+)\]"', DOCKERFILE)
    assert f"\n{extra} = [" in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def test_the_team_has_a_server_a_database_and_a_worker(compose: dict[str, Any]) -> None:
    assert set(compose["services"]) == {"postgres", "mlflow", "worker"}
    worker = environment(compose["services"]["worker"])
    assert worker["MLFLOW_TRACKING_URI"] == "http://mlflow:5000"
    assert worker["HARNESS_STORAGE"].endswith("@postgres:5432/optuna")
    created = (ROOT / "docker" / "create-databases.sql").read_text(encoding="utf-8")
    assert "CREATE DATABASE optuna;" in created


def test_images_are_pinned_and_services_wait_for_healthy_ones(compose: dict[str, Any]) -> None:
    services = compose["services"]
    assert all(
        re.search(r":\d+\.\d+", service["image"]) for service in services.values() if "image" in service
    )
    for service in services.values():
        for name, condition in service.get("depends_on", {}).items():
            assert condition == {"condition": "service_healthy"}
            assert "healthcheck" in services[name]
    assert all(service["init"] and service["stop_grace_period"] for service in services.values())


def test_passwords_come_from_outside_and_have_no_default(compose: dict[str, Any]) -> None:
    text = (ROOT / "docker" / "compose.yaml").read_text(encoding="utf-8")
    assert not re.search(r"\$\{POSTGRES_PASSWORD(?!:\?)", text)
    assert re.search(
        r"^POSTGRES_PASSWORD=$", (ROOT / "docker" / "example.env").read_text("utf-8"), re.MULTILINE
    )
    assert "docker/.env" in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert not re.search(r"(?i)(password|secret|token)\s*=\s*\S", DOCKERFILE)


def test_only_this_machine_reaches_the_server_and_no_jobs_run_there(compose: dict[str, Any]) -> None:
    mlflow = compose["services"]["mlflow"]
    assert all(str(port).startswith("127.0.0.1:") for port in mlflow["ports"])
    assert "ports" not in compose["services"]["postgres"]
    assert environment(mlflow)["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] == "false"
    assert environment(mlflow)["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert any(str(word).startswith("--allowed-hosts=") for word in mlflow["command"])
