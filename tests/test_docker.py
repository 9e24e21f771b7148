"""The container files, checked as text: what they name exists, what they use is pinned, nothing secret is in them."""

import configparser
import re
import shlex
import shutil
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parent.parent
DOCKER = ROOT / "docker"
DOCKERFILE = (DOCKER / "Dockerfile").read_text(encoding="utf-8")
COMPOSE = (DOCKER / "compose.yaml").read_text(encoding="utf-8")
README = (DOCKER / "README.md").read_text(encoding="utf-8")
FOR_ROOTS_START = {"postgres": {"CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"}}
SECRETS = {
    "postgres": {"POSTGRES_PASSWORD", "MLFLOW_DB_PASSWORD", "OPTUNA_DB_PASSWORD"},
    "mlflow": {"MLFLOW_DB_PASSWORD", "MLFLOW_AUTH_ADMIN_PASSWORD", "MLFLOW_FLASK_SERVER_SECRET_KEY"},
    "proxy": set(),
    "worker": {"MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "OPTUNA_DB_PASSWORD"},
    "ray-head": {"RAY_AUTH_TOKEN"},
    "ray-worker": {"RAY_AUTH_TOKEN"},
}
SECRETS["driver"] = SECRETS["worker"] | {"RAY_AUTH_TOKEN"}


def load(text: str) -> dict[str, Any]:
    document: dict[str, Any] = YAML(typ="safe", pure=True).load(text)
    return document


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    found: dict[str, Any] = load(COMPOSE)["services"]
    return found


def environment(service: dict[str, Any]) -> dict[str, str]:
    """A compose service's variables."""
    return {name: str(value) for name, value in service.get("environment", {}).items()}


def settings_of(lines: str) -> dict[str, str]:
    """The variables of an .env file."""
    return dict(re.findall(r"^([A-Z_]+)=(.*)$", lines, flags=re.MULTILINE))


def readme_commands() -> list[list[str]]:
    """The words of every `docker compose` and `docker run` command in the runbook."""
    blocks = re.findall(r"^```\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [shlex.split(re.split(r"[|<>]", line)[0]) for line in lines if line.strip().startswith("docker ")]


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


def test_the_image_has_databases_ray_and_the_servers_users() -> None:
    (extras,) = re.findall(r'uv pip install --constraint \S+ "\.\[([\w,]+)\]"', DOCKERFILE)
    assert set(extras.split(",")) == {"postgres", "ray", "server"}
    pyproject = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert all(f"\n{extra} = [" in pyproject for extra in extras.split(","))


@pytest.mark.skipif(shutil.which("awk") is None, reason="needs awk")
def test_the_cpu_build_takes_torch_from_another_index_and_all_else_by_its_hash() -> None:
    (program,) = re.findall(r"awk ('.+?') \\\n", DOCKERFILE)
    tested = DOCKER / "requirements.txt"
    cpu = subprocess.check_output(["awk", program.strip("'"), str(tested)], text=True).splitlines()
    lines = tested.read_text(encoding="utf-8").splitlines()
    torch = [line for line in cpu if line.startswith("torch")]
    assert all(re.fullmatch(r"torch(vision)?==[\d.]+", line) for line in torch) and len(torch) == 2
    first = lines.index(next(line for line in lines if line.startswith("torch==")))
    left = len(lines) - len(cpu)
    assert cpu[:first] == lines[:first] and cpu[first + 2 :] == lines[first + 2 + left :]


def test_the_team_has_stores_a_worker_and_a_cluster(services: dict[str, Any]) -> None:
    assert set(services) == set(SECRETS)
    assert {name: service.get("profiles") for name, service in services.items()} == {
        "postgres": None,
        "mlflow": None,
        "proxy": ["tls"],
        "worker": ["worker"],
        "ray-head": ["ray"],
        "ray-worker": ["ray"],
        "driver": ["driver"],
    }
    for name in ("worker", "driver"):
        assert environment(services[name])["MLFLOW_TRACKING_URI"] == "http://mlflow:5000"
        assert services[name]["volumes"] == ["records:/store", "data:/data"]


def test_every_database_that_an_url_names_is_created_for_its_role(services: dict[str, Any]) -> None:
    created = (DOCKER / "create-databases.sql").read_text(encoding="utf-8")
    owners = dict(re.findall(r"^CREATE DATABASE (\w+) OWNER (\w+);$", created, flags=re.MULTILINE))
    assert owners == {"mlflow": "mlflow", "mlflow_auth": "mlflow", "optuna": "optuna"}
    assert set(re.findall(r"^CREATE ROLE (\w+) LOGIN PASSWORD", created, flags=re.MULTILINE)) == {
        "mlflow",
        "optuna",
    }
    named = COMPOSE + (DOCKER / "basic_auth.ini").read_text(encoding="utf-8")
    urls = re.findall(r"postgresql\+psycopg2://(\S+)@postgres:5432/(\w+)", named)
    assert {database: role for role, database in urls} == owners
    passwords = set(re.findall(r"^\\getenv \w+ (\w+)$", created, flags=re.MULTILINE))
    assert passwords <= set(environment(services["postgres"]))


def test_images_are_pinned_or_built_here_and_all_have_grace(services: dict[str, Any]) -> None:
    for service in services.values():
        assert "build" in service or re.search(r":\d+\.\d+", service["image"])
        assert service["init"] is True and re.fullmatch(r"\d+s", service["stop_grace_period"])
        for mount in service.get("volumes", []):
            source = str(mount).split(":", 1)[0]
            assert (
                (DOCKER / source).is_file() if source.startswith(".") else source in load(COMPOSE)["volumes"]
            )


def test_services_wait_for_healthy_ones_and_what_keeps_running_is_watched(services: dict[str, Any]) -> None:
    for name, service in services.items():
        assert ("healthcheck" in service) == (service["restart"] == "unless-stopped"), name
        for other, condition in service.get("depends_on", {}).items():
            assert condition == {"condition": "service_healthy"}
            assert "healthcheck" in services[other]


def test_no_service_gains_privileges(services: dict[str, Any]) -> None:
    allowed = FOR_ROOTS_START | {"proxy": {"NET_BIND_SERVICE"}}
    for name, service in services.items():
        assert service["security_opt"] == ["no-new-privileges:true"] and service["cap_drop"] == ["ALL"], name
        assert set(service.get("cap_add", [])) == allowed.get(name, set()), name
        assert not {"privileged", "network_mode", "pid", "devices"} & set(service), name


def test_every_secret_comes_from_outside_without_default_to_whom_it_concerns(
    services: dict[str, Any],
) -> None:
    for name, service in services.items():
        values = " ".join(environment(service).values())
        assert set(re.findall(r"\$\{(\w+):\?set it in docker/\.env\}", values)) == SECRETS[name], name
    secrets = set.union(*SECRETS.values())
    assert all(re.search(rf"`{secret}`", README) for secret in secrets)
    for file in (DOCKERFILE, COMPOSE, (DOCKER / "basic_auth.ini").read_text(encoding="utf-8")):
        given = re.findall(r"(?i)(?:password|secret|token)\w*['\"]?[ ]*[=:][ ]*(\S+)", file)
        assert all(value.startswith("${") or value == "&ray-token" for value in given)
        assert not re.search(r"://[^/@\s]+:[^/@\s]*@", file)
    assert "docker/.env" in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()


def test_the_example_lists_exactly_the_variables_of_compose() -> None:
    example = settings_of((DOCKER / "example.env").read_text(encoding="utf-8"))
    required = set(re.findall(r"(?<!\$)\$\{(\w+):\?", COMPOSE))
    defaults = dict(re.findall(r"(?<!\$)\$\{(\w+):-([^}]*)\}", COMPOSE))
    assert required == {name for name, value in example.items() if not value}
    assert defaults == {name: value for name, value in example.items() if value}
    assert not re.search(r"(?<!\$)\$\{?\w+(?!\w|:[?-])", COMPOSE)


def test_the_server_asks_for_a_password_and_does_nothing_else_than_serve(services: dict[str, Any]) -> None:
    mlflow = services["mlflow"]
    words, variables = mlflow["command"], environment(mlflow)
    assert words[:2] == ["server", "--app-name=basic-auth"]
    hosts, origins = (
        next(str(word).split("=", 1)[1] for word in words if str(word).startswith(option))
        for option in ("--allowed-hosts=", "--cors-allowed-origins=")
    )
    assert "mlflow:*" in hosts.split(",") and "*" not in hosts.split(",") and "*" not in origins
    assert hosts.split(",")[-1] == origins.removeprefix("https://")
    assert variables["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] == "false"
    assert variables["MLFLOW_DISABLE_TELEMETRY"] == "true"
    config = configparser.ConfigParser()
    config.read(DOCKER / "basic_auth.ini")
    mounted = str(next(mount for mount in mlflow["volumes"] if "basic_auth.ini" in str(mount)))
    assert mounted.split(":")[1] == variables["MLFLOW_AUTH_CONFIG_PATH"]
    assert config["mlflow"]["default_permission"] == "READ" and "admin_password" not in config["mlflow"]


@pytest.mark.filterwarnings("ignore:.*AnyType")  # MLflow's own types, when its command line is imported
def test_mlflow_knows_every_variable_that_it_is_given(services: dict[str, Any]) -> None:
    from mlflow import environment_variables
    from mlflow.cli import server

    known = {option.envvar for option in server.params} | set(dir(environment_variables))
    used = [services["mlflow"], services["worker"]]
    names = {name for service in used for name in environment(service) if name.startswith("MLFLOW_")}
    assert names and names - known == set()
    given = {str(word).split("=")[0] for word in services["mlflow"]["command"][1:]}
    assert given <= {flag for option in server.params for flag in option.opts}


def test_only_the_proxy_is_open_to_others(services: dict[str, Any]) -> None:
    ports = {name: service["ports"] for name, service in services.items() if "ports" in service}
    assert ports == {"mlflow": ["127.0.0.1:5000:5000"], "proxy": ["80:80", "443:443"]}
    caddyfile = (DOCKER / "Caddyfile").read_text(encoding="utf-8")
    assert "{$MLFLOW_HOSTNAME} {" in caddyfile and "reverse_proxy mlflow:5000" in caddyfile
    assert "MLFLOW_HOSTNAME" in environment(services["proxy"])


def test_ray_needs_a_token_and_room_for_the_images(services: dict[str, Any]) -> None:
    for name in ("ray-head", "ray-worker", "driver"):
        service = services[name]
        words = " ".join([*service["entrypoint"], *service.get("command", [])])
        assert environment(service)["RAY_AUTH_MODE"] == "token", name
        (store,) = re.findall(r"--object-store-memory=(\d+)", words)
        assert 0 < int(store) < int(service["shm_size"].removesuffix("gb")) * 1e9, name
        assert "--address=ray-head:6379" in words or {"--head", "--port=6379"} <= set(service["command"])
    head = services["ray-head"]["command"]
    assert {"--num-cpus=0", "--include-dashboard=false", "--dashboard-host=127.0.0.1"} <= set(head)
    cpus = services["ray-worker"]["cpus"]
    assert f"--num-cpus={cpus}" in services["ray-worker"]["command"]


def test_the_second_file_gives_gpus_to_those_who_train(services: dict[str, Any]) -> None:
    gpus = load((DOCKER / "compose.gpu.yaml").read_text(encoding="utf-8"))["services"]
    assert set(gpus) == {"worker", "ray-worker", "driver"} <= set(services)


def test_the_runbook_names_services_and_profiles_that_exist(services: dict[str, Any]) -> None:
    verbs = {"build", "create", "down", "exec", "logs", "ps", "run", "stop", "up"}
    profiles = {profile for service in services.values() for profile in service.get("profiles", [])}
    commands = [words for words in readme_commands() if words[1] == "compose"]
    assert len(commands) > 20
    for words in commands:
        given = {after for before, after in pairwise(words) if before == "--profile"}
        assert given <= profiles, words
        verb = next(word for word in words if word in verbs)
        plain = [word for word in words[words.index(verb) + 1 :] if not word.startswith("-")]
        plain = [word for word in plain if word not in ("50", "rm")]  # of --tail and --entrypoint
        named = plain[:1] if verb in ("run", "exec") else plain
        named = [word for word in named if not word.startswith("ray-worker=")]
        assert set(named) <= set(services), words
        if verb == "run" and named == ["driver"]:  # its head is in a profile of its own
            assert given == {"ray"}


def test_the_runbook_names_files_volumes_and_variables_that_exist(services: dict[str, Any]) -> None:
    assert re.findall(r"-v (\w+)_\$name:", README) == 2 * [load(COMPOSE)["name"]]
    backed_up = re.findall(r"^for name in (.+); do$", README, flags=re.MULTILINE)
    assert backed_up == 2 * ["mlflow mlflow_auth optuna", "artifacts records"]
    assert {"artifacts", "records"} <= set(load(COMPOSE)["volumes"])
    example = settings_of((DOCKER / "example.env").read_text(encoding="utf-8"))
    named = set(re.findall(r"`([A-Z]+_[A-Z_]+)`", README))
    assert named and named <= set(example)
    assert services["postgres"]["image"] in README
    assert all((DOCKER / link).exists() for link in re.findall(r"\]\(([^)#:]+)\)", README))
