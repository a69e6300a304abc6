"""What the manifests of both overlays have in common: they are hardened, and refer only to what there is."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.containers import images
from infra.kubernetes.manifests import OVERLAYS, Manifest
from infra.mlflow_server import USERS
from tests.unit.kubernetes.rendered import containers, named, of_kind, pod, rendered, values, workloads

COMPOSE: dict[str, Any] = yaml.safe_load((images.ROOT / "infra" / "containers" / "compose.yaml").read_text())[
    "services"
]
DOCS = (images.ROOT / "docs" / "kubernetes.md").read_text()
OURS = {name for name in images.TARGETS if name != "trainer"}

EVERY = [(overlay, workload) for overlay in OVERLAYS for workload in workloads(overlay)]
each_workload = pytest.mark.parametrize(
    ("overlay", "workload"), EVERY, ids=[f"{overlay}-{workload['metadata']['name']}" for overlay, workload in EVERY]
)
each_overlay = pytest.mark.parametrize("overlay", OVERLAYS)


@each_workload
def test_a_pod_has_no_more_rights_than_it_needs(overlay: str, workload: Manifest) -> None:
    spec = pod(workload)
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    name = workload["metadata"]["name"]
    if name in OURS:
        assert spec["securityContext"]["runAsUser"] == 10001
    for container in containers(workload):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        }
        for sort in ("requests", "limits"):
            assert container["resources"][sort].keys() == {"cpu", "memory"}


@each_workload
def test_every_server_has_its_probes(overlay: str, workload: Manifest) -> None:
    for container in pod(workload)["containers"]:
        ports = {port["name"] for port in container["ports"]}
        for kind in ("startupProbe", "livenessProbe", "readinessProbe"):
            probe = container[kind]
            assert set(values(probe, "port")) <= ports


@each_overlay
def test_no_restart_comes_of_a_lost_mlflow_and_no_query_of_a_probe(overlay: str) -> None:
    (api,) = pod(named(overlay, "Deployment", "api"))["containers"]
    paths = {kind: api[kind]["httpGet"]["path"] for kind in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert paths == {"startupProbe": "/live", "livenessProbe": "/live", "readinessProbe": "/health"}
    (exporter,) = pod(named(overlay, "Deployment", "exporter"))["containers"]
    assert "/metrics" not in yaml.safe_dump([value for key, value in exporter.items() if key.endswith("Probe")])


@each_overlay
def test_the_api_ends_after_it_has_drained(overlay: str) -> None:
    spec = pod(named(overlay, "Deployment", "api"))
    (drain,) = [one["value"] for one in spec["containers"][0]["env"] if one["name"] == "DRAIN_SECONDS"]
    # After it has drained, uvicorn gives the last requests 20 s.
    assert spec["terminationGracePeriodSeconds"] > int(drain) + 20


@each_overlay
def test_the_autoscaler_alone_sets_the_number_of_replicas_of_the_api(overlay: str) -> None:
    assert "replicas" not in named(overlay, "Deployment", "api")["spec"]
    autoscaler = named(overlay, "HorizontalPodAutoscaler", "api")["spec"]
    assert autoscaler["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "api"}
    budget = named(overlay, "PodDisruptionBudget", "api")["spec"]
    # Otherwise a node could never be drained.
    assert budget["minAvailable"] < autoscaler["minReplicas"]


@each_workload
def test_the_images_of_others_are_pinned_by_digest_and_those_of_compose(overlay: str, workload: Manifest) -> None:
    name = workload["metadata"]["name"]
    for container in containers(workload):
        if name in OURS:
            assert re.fullmatch(rf"[a-z0-9.-]+/readmission-{name}:[\w.]+", container["image"])
        else:
            assert re.fullmatch(r"[a-z.]+/[a-z/]+:v?[\d.]+@sha256:[0-9a-f]{64}", container["image"])
        if name in COMPOSE and name not in OURS:
            assert container["image"] == COMPOSE[name]["image"]


@each_overlay
def test_postgres_is_pinned_by_digest(overlay: str) -> None:
    for cluster in of_kind(overlay, "Cluster"):
        assert re.search(r":\d+\.\d+[\w.-]*@sha256:[0-9a-f]{64}$", cluster["spec"]["imageName"])


@each_workload
def test_a_container_gets_the_variables_of_compose(overlay: str, workload: Manifest) -> None:
    name = workload["metadata"]["name"]
    if name not in COMPOSE:
        return
    wanted = {variable for variable in COMPOSE[name].get("environment", {}) if not variable.startswith("AWS_")}
    # People log in to Grafana here, and the API asks for keys.
    wanted = {variable for variable in wanted if "ANONYMOUS" not in variable}
    given = {one["name"] for one in pod(workload)["containers"][0].get("env", ())}
    assert wanted <= given


@each_overlay
def test_every_configmap_and_key_that_is_named_is_there(overlay: str) -> None:
    known = {manifest["metadata"]["name"]: manifest["data"] for manifest in of_kind(overlay, "ConfigMap")}
    for workload in workloads(overlay):
        for reference in values(workload, "configMapKeyRef"):
            assert known[reference["name"]].get(reference["key"]), reference
        for volume in values(workload, "configMap"):
            for item in volume.get("items", ()):
                assert item["key"] in known[volume["name"]]
            assert volume["name"] in known


@each_overlay
def test_every_secret_that_is_named_is_copied_or_made_by_a_command_of_the_docs(overlay: str) -> None:
    copied = {
        manifest["spec"]["target"]["name"]: {one["secretKey"] for one in manifest["spec"]["data"]}
        for manifest in of_kind(overlay, "ExternalSecret")
    }
    made = {} if copied else made_by_hand()
    known = copied or made
    wanted: dict[str, set[str]] = {}
    for workload in workloads(overlay):
        for reference in values(workload, "secretKeyRef"):
            wanted.setdefault(reference["name"], set()).add(reference["key"])
        for volume in values(pod(workload)["volumes"], "secret"):
            wanted.setdefault(volume["secretName"], set()).update(item["key"] for item in volume.get("items", ()))
    for cluster in of_kind(overlay, "Cluster"):
        for name in (*values(cluster, "passwordSecret"), *values(cluster["spec"]["bootstrap"], "secret")):
            wanted.setdefault(name["name"], set()).update({"username", "password"})
    assert wanted.keys() == known.keys()
    for name, keys in wanted.items():
        assert keys <= known[name], name


def made_by_hand() -> dict[str, set[str]]:
    """The keys of each secret that the docs create with kubectl."""
    commands = DOCS.replace("\\\n", " ")
    return {
        match[1]: set(re.findall(r"--from-(?:literal|file)=([\w.-]+)=", match[2]))
        for match in re.finditer(r"kubectl create secret generic ([\w-]+)(.*)", commands)
    }


@each_overlay
def test_every_account_service_and_port_that_is_named_is_there(overlay: str) -> None:
    accounts = {manifest["metadata"]["name"] for manifest in of_kind(overlay, "ServiceAccount")}
    services = {manifest["metadata"]["name"]: manifest["spec"] for manifest in of_kind(overlay, "Service")}
    labels = {}
    for workload in workloads(overlay):
        assert pod(workload)["serviceAccountName"] in accounts
        ports = {port["name"] for container in pod(workload)["containers"] for port in container["ports"]}
        labels[workload["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/name"]] = ports
        assert workload["spec"].get("serviceName", "api") in services
    for service in services.values():
        ports = labels[service["selector"]["app.kubernetes.io/name"]]
        assert {port["targetPort"] for port in service["ports"]} <= ports
    for backend in (one for ingress in of_kind(overlay, "Ingress") for one in values(ingress, "backend")):
        ports = {port["name"] for port in services[backend["service"]["name"]]["ports"]}
        assert backend["service"]["port"]["name"] in ports
    for address in values([named(overlay, "ConfigMap", name) for name in settings_names(overlay)], "data"):
        for host, port in re.findall(r"http://([a-z-]+):(\d+)", " ".join(address.values())):
            assert int(port) in {one["port"] for one in services[host]["ports"]}


def settings_names(overlay: str) -> list[str]:
    return [
        manifest["metadata"]["name"]
        for manifest in of_kind(overlay, "ConfigMap")
        if manifest["metadata"]["name"].startswith("settings")
    ]


@each_overlay
def test_only_the_api_the_pages_and_on_aws_mlflow_are_published(overlay: str) -> None:
    published = {manifest["metadata"]["name"] for manifest in of_kind(overlay, "Ingress")}
    # MLflow asks for a login there.
    assert published == ({"api", "ui", "mlflow"} if overlay == "aws" else {"api", "ui"})
    assert {service["spec"].get("type", "ClusterIP") for service in of_kind(overlay, "Service")} == {"ClusterIP"}
    (pages,) = pod(named(overlay, "Deployment", "ui"))["containers"]
    assert {"name": "PAGES_LOGIN", "value": "on"} in pages["env"]
    (api,) = pod(named(overlay, "Deployment", "api"))["containers"]
    assert "API_KEYS_FILE" in {one["name"] for one in api["env"]}


def test_mlflow_on_aws_asks_for_a_login_that_its_clients_know() -> None:
    (mlflow,) = pod(named("aws", "Deployment", "mlflow"))["containers"]
    users = {f"MLFLOW_{role}_{part}" for role in ("AUTH_ADMIN", *USERS) for part in ("USERNAME", "PASSWORD")}
    assert users | {"MLFLOW_FLASK_SERVER_SECRET_KEY"} <= {one["name"] for one in mlflow["env"]}
    for client in ("api", "ui"):
        (container,) = pod(named("aws", "Deployment", client))["containers"]
        assert "MLFLOW_SECRET" in {one["name"] for one in container["env"]}


@each_overlay
def test_every_value_of_the_settings_is_used(overlay: str) -> None:
    (name,) = settings_names(overlay)
    settings = named(overlay, "ConfigMap", name)["data"]
    read = {reference["key"] for workload in workloads(overlay) for reference in values(workload, "configMapKeyRef")}
    others = yaml.safe_dump([manifest for manifest in rendered(overlay) if manifest["kind"] != "ConfigMap"])
    assert {key for key in settings if key not in read and settings[key] not in others} == set()


@each_overlay
def test_rules_and_dashboard_are_all_those_of_the_repository(overlay: str) -> None:
    mounted = {text for manifest in of_kind(overlay, "ConfigMap") for text in manifest["data"].values()}
    files: list[Path] = [
        *(images.ROOT / "infra" / "prometheus" / "rules").iterdir(),
        *(images.ROOT / "infra" / "grafana" / "dashboards").iterdir(),
        *(images.ROOT / "infra" / "grafana" / "provisioning").glob("*/*"),
    ]
    assert len(files) > 4
    for file in files:
        assert file.read_text() in mounted, file


@each_overlay
def test_an_overlay_has_no_secret_in_it(overlay: str) -> None:
    assert of_kind(overlay, "Secret") == []
    for workload in workloads(overlay):
        for container in containers(workload):
            for variable in container.get("env", ()):
                if re.search("PASSWORD|SECRET|KEY|TOKEN", variable["name"]) and "value" in variable:
                    # A path, or what LocalStack takes.
                    assert variable["value"].startswith("/") or variable["value"] == "test"
