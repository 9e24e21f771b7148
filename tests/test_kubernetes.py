"""The manifests, checked against the parts of the Kubernetes API that they use: names, types, references.

The models below know what https://kubernetes.io/docs/reference/kubernetes-api says of these parts, and forbid all else.
"""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel
from ruamel.yaml import YAML

DOCKER = Path(__file__).parent.parent / "docker"
PAGE = (DOCKER / "kubernetes.md").read_text(encoding="utf-8")
FILES = sorted((DOCKER / "kubernetes").glob("*.yaml"))

Name = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")]
Port = Annotated[int, Field(ge=1, le=65535)]
Quantity = Annotated[str, Field(pattern=r"^\d+(\.\d+)?(m|Ki|Mi|Gi|Ti)?$")]
Amounts = dict[Literal["cpu", "memory", "nvidia.com/gpu"], Quantity]
Labels = dict[str, str]


class Part(BaseModel):
    """Strict: a variable's value must be text, as Kubernetes demands, and an unknown name is a mistake."""

    model_config = ConfigDict(extra="forbid", strict=True, alias_generator=to_camel)


class Metadata(Part):
    name: Name | None = None
    labels: Labels = {}


class PodSecurity(Part):
    run_as_non_root: Literal[True]
    run_as_user: Annotated[int, Field(ge=1)]
    run_as_group: Annotated[int, Field(ge=1)]
    fs_group: Annotated[int, Field(ge=1)]
    seccomp_profile: dict[Literal["type"], Literal["RuntimeDefault"]]


class ContainerSecurity(Part):
    allow_privilege_escalation: Literal[False]
    capabilities: dict[Literal["drop"], Annotated[list[Literal["ALL"]], Field(min_length=1)]]


class Variable(Part):
    name: Annotated[str, Field(pattern=r"^[A-Z_]+$")]
    value: str | None = None
    value_from: dict[Literal["secretKeyRef"], dict[Literal["name", "key"], str]] | None = None


class TcpSocket(Part):
    port: Name


class HttpGet(TcpSocket):
    path: Annotated[str, Field(pattern="^/")]


class Probe(Part):
    http_get: HttpGet | None = None
    tcp_socket: TcpSocket | None = None
    exec: dict[Literal["command"], list[str]] | None = None
    initial_delay_seconds: int = 0
    period_seconds: int = 10
    timeout_seconds: int = 1
    failure_threshold: int = 3


class Mount(Part):
    name: Name
    mount_path: Annotated[str, Field(pattern="^/")]
    read_only: bool = False


class Container(Part):
    name: Name
    image: Annotated[str, Field(pattern=r":(cpu|cuda|\d[\w.-]+)$")]
    command: list[str] = []
    args: list[str] = []
    env: list[Variable] = []
    ports: list[dict[Literal["name", "containerPort"], Name | Port]] = []
    startup_probe: Probe | None = None
    readiness_probe: Probe | None = None
    liveness_probe: Probe | None = None
    resources: dict[Literal["requests", "limits"], Amounts]
    security_context: ContainerSecurity
    volume_mounts: list[Mount] = []


class Volume(Part):
    name: Name
    config_map: dict[Literal["name"], Name] | None = None
    persistent_volume_claim: dict[Literal["claimName"], Name] | None = None
    empty_dir: dict[Literal["medium", "sizeLimit"], str] | None = None


class PodSpec(Part):
    restart_policy: Literal["OnFailure"] | None = None
    automount_service_account_token: Literal[False]
    enable_service_links: Literal[False]  # a Service `mlflow` sets MLFLOW_PORT, which MLflow's server reads
    termination_grace_period_seconds: Annotated[int, Field(ge=30)]
    security_context: PodSecurity
    containers: list[Container] = Field(min_length=1)
    volumes: list[Volume] = []


class Template(Part):
    metadata: Metadata
    spec: PodSpec


class ClaimSpec(Part):
    access_modes: list[Literal["ReadWriteOnce", "ReadWriteMany"]] = Field(min_length=1)
    resources: dict[Literal["requests"], dict[Literal["storage"], Quantity]]


class ClaimTemplate(Part):
    metadata: Metadata
    spec: ClaimSpec


class DeploymentSpec(Part):
    replicas: int
    strategy: dict[Literal["type"], Literal["Recreate", "RollingUpdate"]] | None = None
    selector: dict[Literal["matchLabels"], Labels]
    template: Template


class StatefulSetSpec(Part):
    service_name: Name
    replicas: int
    selector: dict[Literal["matchLabels"], Labels]
    template: Template
    volume_claim_templates: list[ClaimTemplate] = []


class JobSpec(Part):
    backoff_limit: Annotated[int, Field(ge=1)]
    template: Template


class ServicePort(Part):
    name: Name
    port: Port
    target_port: Name


class ServiceSpec(Part):
    cluster_ip: Literal["None"] | None = Field(None, alias="clusterIP")
    selector: Labels
    ports: list[ServicePort] = Field(min_length=1)


KINDS: dict[str, tuple[str, type[Part]]] = {
    "Deployment": ("apps/v1", DeploymentSpec),
    "StatefulSet": ("apps/v1", StatefulSetSpec),
    "Job": ("batch/v1", JobSpec),
    "Service": ("v1", ServiceSpec),
    "PersistentVolumeClaim": ("v1", ClaimSpec),
}


@cache
def manifests(path: Path) -> list[dict[str, Any]]:
    return list(YAML(typ="safe", pure=True).load_all(path.read_text(encoding="utf-8")))


def checked(manifest: dict[str, Any]) -> Any:
    """A manifest's spec. Raises ValueError if the manifest is not what the API takes."""
    if set(manifest) != {"apiVersion", "kind", "metadata", "spec"} or manifest["kind"] not in KINDS:
        raise ValueError(f"not a manifest of a kind that is known here: {sorted(manifest)}")
    version, model = KINDS[manifest["kind"]]
    if manifest["apiVersion"] != version or not Metadata.model_validate(manifest["metadata"]).name:
        raise ValueError(f"a {manifest['kind']} is of {version}, and has a name")
    return model.model_validate(manifest["spec"])


def every(kind: str) -> dict[str, Any]:
    """Name and spec of all manifests of a kind."""
    found = [one for path in FILES for one in manifests(path) if one["kind"] == kind]
    return {one["metadata"]["name"]: checked(one) for one in found}


def workloads() -> dict[str, Any]:
    return every("Deployment") | every("StatefulSet") | every("Job")


def containers() -> Iterator[tuple[str, PodSpec, Container]]:
    for name, spec in workloads().items():
        pod = spec.template.spec
        yield from ((name, pod, container) for container in pod.containers)


MISTAKES = [  # file, what it says, what a mistake would make of it
    ("mlflow.yaml", "allowPrivilegeEscalation", "allowPriviledgeEscalation"),
    ("mlflow.yaml", "runAsNonRoot: true", "runAsNonRoot: false"),
    ("mlflow.yaml", "harness:cpu", "harness:latest"),
    ("mlflow.yaml", 'value: "false"', "value: false"),
    ("mlflow.yaml", "port: http}", "port: http, scheem: HTTP}"),
    ("tune.yaml", "backoffLimit: 20", "backOffLimit: 20"),
    ("tune.yaml", "OnFailure", "Always"),
    ("tune.yaml", "memory: 8Gi", "memory: 8GB"),
    ("tune.yaml", "claimName: data", "claim: data"),
    ("postgres.yaml", "serviceName: postgres", "service: postgres"),
    ("postgres.yaml", "apiVersion: apps/v1", "apiVersion: v1"),
    ("ray.yaml", "drop: [ALL]", "drop: []"),
]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_manifest_is_what_the_api_takes(path: Path) -> None:
    assert [checked(manifest) for manifest in manifests(path)]


@pytest.mark.parametrize(("name", "right", "wrong"), MISTAKES)
def test_a_planted_mistake_is_caught(tmp_path: Path, name: str, right: str, wrong: str) -> None:
    text = (DOCKER / "kubernetes" / name).read_text(encoding="utf-8")
    assert right in text
    (tmp_path / name).write_text(text.replace(right, wrong), encoding="utf-8")
    with pytest.raises(ValueError):  # pydantic's ValidationError is one
        [checked(manifest) for manifest in manifests(tmp_path / name)]


def test_selectors_and_ports_name_what_there_is() -> None:
    labels = {name: spec.template.metadata.labels for name, spec in workloads().items()}
    for name, spec in (every("Deployment") | every("StatefulSet")).items():
        assert spec.selector["matchLabels"] == labels[name]
    for name, service in every("Service").items():
        (workload,) = [spec for of, spec in workloads().items() if labels[of] == service.selector]
        names = {port["name"] for one in workload.template.spec.containers for port in one.ports}
        assert {port.target_port for port in service.ports} <= names, name
    for name, _, container in containers():
        probes = (container.startup_probe, container.readiness_probe, container.liveness_probe)
        for probe in (probe for probe in probes if probe):
            ways = [way for way in (probe.http_get, probe.tcp_socket, probe.exec) if way]
            assert len(ways) == 1, name
            assert getattr(ways[0], "port", None) in {None, *(port["name"] for port in container.ports)}, name


def test_everything_that_is_referred_to_is_there_or_is_to_be_created() -> None:
    example = (DOCKER / "example.env").read_text(encoding="utf-8")
    assert "kubectl create secret generic harness --from-env-file=.env" in PAGE
    created = dict(re.findall(r"kubectl create configmap (\S+) --from-file=(\S+)", PAGE))
    assert created and all((DOCKER / file).exists() for file in created.values())
    for name, pod, container in containers():
        for variable in container.env:
            assert (variable.value is None) != (variable.value_from is None), variable.name
            secret = variable.value_from["secretKeyRef"] if variable.value_from else None
            assert not secret or (secret["name"] == "harness" and f"\n{secret['key']}=\n" in example), name
            assert secret or not re.search("PASSWORD|SECRET|TOKEN", variable.name)
        templates = getattr(workloads()[name], "volume_claim_templates", [])
        volumes = {volume.name for volume in pod.volumes} | {one.metadata.name for one in templates}
        assert {mount.name for mount in container.volume_mounts} == volumes, name
        for volume in pod.volumes:
            assert len(volume.model_fields_set) == 2, volume.name
            assert not volume.config_map or volume.config_map["name"] in created
            claim = volume.persistent_volume_claim
            assert not claim or claim["claimName"] in every("PersistentVolumeClaim")


def test_addresses_name_services_that_exist() -> None:
    ports = {f"{name}:{port.port}" for name, spec in every("Service").items() for port in spec.ports}
    text = "\n".join(path.read_text(encoding="utf-8") for path in FILES)
    named = re.findall(r"(?:@|http://|--address[=,] ?\"?)([\w-]+:\d+)", text)
    assert set(named) == ports == {"postgres:5432", "mlflow:5000", "ray-head:6379"}
    assert all(spec.service_name in every("Service") for spec in every("StatefulSet").values())


def test_servers_are_probed_and_jobs_go_on_after_a_failure() -> None:
    assert set(every("Job")) == {"tune", "tune-on-ray"}
    for name, pod, container in containers():
        assert (pod.restart_policy == "OnFailure") == (name in every("Job")), name
        served = {probe for probe in ("readiness_probe", "liveness_probe") if getattr(container, probe)}
        assert len(served) == (2 if container.ports else 0), name


def test_the_page_and_the_folder_name_the_same_files() -> None:
    assert set(re.findall(r"^\| `([\w-]+\.yaml)` \|", PAGE, flags=re.MULTILINE)) == {p.name for p in FILES}
    assert set(re.findall(r"kubectl apply -f kubernetes/(\S+)", PAGE)) == {path.name for path in FILES}
    kinds = {kind.lower(): kind for kind in KINDS}
    named = re.findall(rf"\b({'|'.join(kinds)})/([\w-]+)", PAGE)
    assert named and all(name in every(kinds[kind]) for kind, name in named)


def test_compose_and_kubernetes_run_the_same_versions_with_the_same_settings() -> None:
    compose = YAML(typ="safe", pure=True).load((DOCKER / "compose.yaml").read_text(encoding="utf-8"))
    of = {name: container for name, _, container in containers()}
    assert of["postgres"].image == compose["services"]["postgres"]["image"]
    for ours, service in {"mlflow": "mlflow", "tune": "worker", "tune-on-ray": "driver"}.items():
        assert {one.name for one in of[ours].env} == set(compose["services"][service]["environment"])
    for server in ("ray-head", "mlflow"):
        options = [word.split("=")[0] for word in of[server].args]
        assert options == [str(word).split("=")[0] for word in compose["services"][server]["command"]]
