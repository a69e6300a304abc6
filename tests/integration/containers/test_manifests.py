"""Each container of ours runs against the platform as the manifests for Kubernetes start it, and its probes pass."""

import time
from collections.abc import Callable
from pathlib import Path

import mlflow
import pytest
from readmission.client import Client

from infra.kubernetes.manifests import OVERLAYS
from infra.local.commands.predict import SAMPLE
from infra.local.servers import postgres
from tests.integration.containers import containers, pods
from tests.integration.containers.pods import Pod, Running, running
from tests.integration.readmission.conftest import Stores
from tests.integration.readmission.models import MLFLOW_WARNINGS, Models
from tests.platforms import Platform, free_ports

pytestmark = MLFLOW_WARNINGS

type Image = Callable[[str], str]

PROBES = ("startupProbe", "livenessProbe", "readinessProbe")
KEY = "a-key-of-the-tests-0123456789"
LOGIN = """[auth]
redirect_uri = "https://pages.example/oauth2callback"
cookie_secret = "a long random text of the tests"
client_id = "pages"
client_secret = "secret"
server_metadata_url = "https://login.example/.well-known/openid-configuration"
"""


@pytest.fixture
def pod(system: Platform) -> Callable[..., Pod]:
    """A pod of an overlay, with the secrets that the platform of the tests takes."""
    database = postgres.owner(system.settings, "mlflow")
    secrets = {
        "api-keys": {"keys": f"{KEY}\n"},
        "database-mlflow": {"username": database.user, "password": database.password},
        "pages": {"api-key": KEY, "secrets.toml": LOGIN},
        "store": {"access-key": "test", "secret-key": "test"},
        # Other tests make users in the same database; one who exists keeps the password.
        "mlflow-login": {"username": "operator", "password": "a-password-of-the-tests", "session": "signs-forms"}
        | {
            f"{role}-{part}": f"the-{part}-of-{role}"
            for role in ("pipeline", "reader")
            for part in ("username", "password")
        },
    }

    def of(overlay: str, name: str) -> Pod:
        return Pod(overlay, name, secrets, system.settings)

    return of


def passes_all_probes(running: Running) -> bool:
    return all(running.probe(kind) for kind in PROBES)


def until_ready(running: Running) -> None:
    """The API looks for a model every ten seconds."""
    deadline = time.monotonic() + 60
    while not running.probe("readinessProbe"):
        assert time.monotonic() < deadline, running.container.output()
        time.sleep(0.5)


def is_hardened(running: Running) -> bool:
    """Runs as the user of the manifest, and has written nothing that a read-only root would refuse."""
    user = running.pod.spec["securityContext"]["runAsUser"]
    return user == int(containers.configuration(running.pod.name)["User"]) and running.container.written() == []


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_api_serves_those_with_a_key_and_is_ready_once_it_has_a_model(
    image: Image, pod: Callable[..., Pod], overlay: str, stores: Stores, tmp_path: Path
) -> None:
    image("api")
    models = Models(stores, f"readmission-on-{overlay}")
    # MLflow has a login in AWS alone; that of the tests has none.
    with running(pod(overlay, "api"), tmp_path, MODEL_NAME=models.settings.name, MLFLOW_SECRET="") as api:
        # Without a model it is alive, but gets no requests.
        assert api.probe("startupProbe") and api.probe("livenessProbe")
        assert not api.probe("readinessProbe")
        models.load(seed=3)
        promoted = models.promote(models.train("logistic_regression"))
        until_ready(api)
        assert passes_all_probes(api)
        assert Client(api.container.url, KEY, timeout=30).predict(SAMPLE)["model_version"] == promoted["version"]
        assert api.status("/model") == 403
        assert api.status("/metrics", "metrics") == 200
        assert is_hardened(api)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_exporter_is_alive_without_a_query_to_cloudwatch(
    image: Image, pod: Callable[..., Pod], overlay: str, system: Platform, tmp_path: Path
) -> None:
    image("exporter")
    aws = {"AWS_ENDPOINT_URL": system.settings.localstack_url, "AWS_ACCESS_KEY_ID": "test"}
    with running(pod(overlay, "exporter"), tmp_path, **aws, AWS_SECRET_ACCESS_KEY="test") as exporter:
        assert passes_all_probes(exporter)
        assert exporter.status("/metrics", "metrics") == 200
        assert is_hardened(exporter)


def test_mlflow_makes_its_bucket_once_and_serves(
    image: Image, pod: Callable[..., Pod], stores: Stores, tmp_path: Path
) -> None:
    image("mlflow")
    mlflow_pod = pod("standalone", "mlflow")
    bucket = f"readmission-mlflow-{free_ports(1)[0]}"
    artifacts = f"s3://{bucket}/artifacts"
    first, second = (pods.first(mlflow_pod, "bucket", MLFLOW_ARTIFACTS_DESTINATION=artifacts) for _ in range(2))
    assert (first[0], second[0]) == (0, 0), (first, second)
    assert f"made the bucket {bucket}" in first[1] and "made the bucket" not in second[1]
    with running(mlflow_pod, tmp_path, MLFLOW_ARTIFACTS_DESTINATION=artifacts) as server:
        assert passes_all_probes(server)
        # In the cluster its name is mlflow; requests for others are refused, but for the probes.
        assert server.status("/api/2.0/mlflow/experiments/get?experiment_id=0", host="mlflow:5000") == 200
        assert server.status("/api/2.0/mlflow/experiments/get?experiment_id=0", host="elsewhere.example") == 403
        assert is_hardened(server)


def test_mlflow_on_aws_asks_for_a_login_but_not_for_its_health(
    image: Image, pod: Callable[..., Pod], system: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image("mlflow")
    database = postgres.owner(system.settings, "mlflow")
    given = {
        "DATABASE_HOST": database.host,
        # That of the tests has no certificate of RDS.
        "DATABASE_TLS": "prefer",
        "MLFLOW_ARTIFACTS_DESTINATION": containers.COMPOSE["services"]["mlflow"]["environment"][
            "MLFLOW_ARTIFACTS_DESTINATION"
        ],
        "AWS_ENDPOINT_URL": system.settings.localstack_url,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "MLFLOW_SERVER_ALLOWED_HOSTS": "127.0.0.1:*",
    }
    with running(pod("aws", "mlflow"), tmp_path, **given) as server:
        assert passes_all_probes(server)
        assert server.status("/api/2.0/mlflow/experiments/get?experiment_id=0") == 401
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "operator")
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "a-password-of-the-tests")
        assert mlflow.MlflowClient(server.container.url).get_experiment("0").experiment_id == "0"
        assert is_hardened(server)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_pages_start_with_a_login(image: Image, pod: Callable[..., Pod], overlay: str, tmp_path: Path) -> None:
    image("ui")
    with running(pod(overlay, "ui"), tmp_path) as ui:
        assert passes_all_probes(ui)
        assert is_hardened(ui)
    # Where the manifest mounts it, Streamlit finds the settings of its login.
    read = "import streamlit; print(streamlit.secrets.auth.client_id)"
    code, output = pods.ended(pod(overlay, "ui"), tmp_path, "python", "-c", read)
    assert code == 0 and output.splitlines()[-1] == "pages", output


def test_localstack_starts(image: Image, pod: Callable[..., Pod], tmp_path: Path) -> None:
    image("localstack")
    with running(pod("standalone", "localstack"), tmp_path) as localstack:
        assert passes_all_probes(localstack)
        assert is_hardened(localstack)
