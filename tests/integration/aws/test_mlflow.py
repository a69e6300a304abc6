"""MLflow as its container runs it, with the variables of the task definition, on the local Postgres and bucket."""

import base64
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from readmission.registry import credentials, names
from readmission.registry.mlflow_client import experiment_id, reachable
from readmission.registry.rest import RestClient, UnexpectedAnswer
from readmission.settings import ModelSettings
from readmission.storage import access, secrets

from infra import mlflow_server
from infra.local import aws
from infra.local.servers import postgres
from infra.local.servers.programs import ARTIFACTS
from infra.local.settings import ROOT
from tests.integration.readmission.models import MLFLOW_WARNINGS
from tests.platforms import Platform, free_ports
from tests.unit.templates import PLATFORM

pytestmark = MLFLOW_WARNINGS

(CONTAINER,) = PLATFORM["Resources"]["MlflowTask"]["Properties"]["ContainerDefinitions"]
HOST = "mlflow.hospital.example"
PASSWORDS = {"admin": "of-the-administrator", "pipeline": "of-the-pipeline", "reader": "of-the-reader"}


def _given(platform: Platform) -> dict[str, str]:
    """The variables that Fargate sets: the same names, with values of this machine."""
    login = postgres.owner(platform.settings, "mlflow")
    values = {
        "HOST": "127.0.0.1",
        "DATABASE_HOST": login.host,
        "DATABASE_PORT": str(login.port),
        "DATABASE_USER": login.user,
        "DATABASE_PASSWORD": login.password,
        "DATABASE_TLS": "disable",  # this Postgres has none
        "MLFLOW_ARTIFACTS_DESTINATION": ARTIFACTS,
        "MLFLOW_SERVER_ALLOWED_HOSTS": f"{HOST},127.0.0.1:*",
        "MLFLOW_AUTH_ADMIN_USERNAME": "admin",
        "MLFLOW_AUTH_ADMIN_PASSWORD": PASSWORDS["admin"],
        "MLFLOW_PIPELINE_USERNAME": "pipeline",
        "MLFLOW_PIPELINE_PASSWORD": PASSWORDS["pipeline"],
        "MLFLOW_READER_USERNAME": "reader",
        "MLFLOW_READER_PASSWORD": PASSWORDS["reader"],
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "session",
    }
    named = {one["Name"] for one in (*CONTAINER["Environment"], *CONTAINER["Secrets"])}
    assert named == values.keys()
    return values


@dataclass(frozen=True)
class Server:
    url: str
    folder: Path
    variables: dict[str, str]

    def settings(self, user: str) -> ModelSettings:
        return ModelSettings(self.url, "permitted", secret=user)

    def get_secret_value(self, SecretId: str) -> dict[str, str]:
        """Secrets Manager's part: the name of a secret is that of its user."""
        return {"SecretString": f'{{"username": "{SecretId}", "password": "{PASSWORDS[SecretId]}"}}'}


@pytest.fixture(scope="module")
def server(system: Platform, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    (port,) = free_ports(1)
    folder, log = tmp_path_factory.mktemp("mlflow"), tmp_path_factory.mktemp("log") / "log"
    variables = _given(system)
    environment = variables | aws.environment(system.settings)
    environment |= {"PATH": os.environ["PATH"], "HOME": "/nowhere", "PYTHONPATH": str(ROOT), "PORT": str(port)}
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "infra.mlflow_server"],
            env=environment,
            cwd=folder,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    try:
        _wait(process, port, log)
        yield Server(f"http://127.0.0.1:{port}", folder, variables)
    finally:
        process.terminate()
        process.wait(60)
    assert all(password not in log.read_text() for password in PASSWORDS.values())


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    for _ in range(1800):
        assert process.poll() is None, log.read_text()
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.1)
    raise AssertionError(log.read_text())


@pytest.fixture
def as_functions(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """The functions' clients read their logins from this server's secrets."""
    monkeypatch.setattr(secrets, "boto3", SimpleNamespace(client=lambda _, config: server))
    for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "_MLFLOW_TELEMETRY_SESSION_ID"):
        monkeypatch.setenv(name, "")  # so that it is restored
        monkeypatch.delenv(name)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.url)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    credentials.of.cache_clear()
    yield server
    credentials.of.cache_clear()


def _status(url: str, host: str = HOST, login: str = "") -> int:
    headers = {"Host": host}
    if login:
        headers["Authorization"] = f"Basic {base64.b64encode(login.encode()).decode()}"
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=60) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_the_load_balancers_health_check_needs_neither_a_login_nor_the_name(server: Server) -> None:
    path = PLATFORM["Resources"]["Targets"]["Properties"]["HealthCheckPath"]
    assert _status(f"{server.url}{path}", host="10.0.0.1:5000") == 200


@pytest.mark.parametrize(
    ("host", "login", "status"),
    [
        (HOST, f"admin:{PASSWORDS['admin']}", 200),
        (HOST, f"reader:{PASSWORDS['reader']}", 200),
        (HOST, "", 401),
        (HOST, "admin:guessed", 401),
        ("elsewhere.example", f"admin:{PASSWORDS['admin']}", 403),
    ],
    ids=["administrator", "reader", "none", "wrong password", "another host"],
)
def test_only_who_logs_in_under_the_right_name_is_answered(server: Server, host: str, login: str, status: int) -> None:
    url = f"{server.url}/api/2.0/mlflow/registered-models/search"
    assert _status(url, host, login) == status


def test_mlflow_works_as_its_own_database_user(server: Server, system: Platform) -> None:
    owners: Any = system.query("mlflow", "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'")
    assert owners == [[access.MLFLOW]]


def test_mlflow_writes_nothing_beside_its_temporary_files(server: Server) -> None:
    assert list(server.folder.iterdir()) == []


def _promoted(server: Server) -> str:
    """A run as train logs it, and its version as promote promotes it, as the pipeline's user. Returns the run's id."""
    settings = server.settings("pipeline")
    with reachable(settings):
        client = MlflowClient(server.url)
        run = client.create_run(experiment_id(client, settings)).info.run_id
        client.log_text(run, "the scorer", names.SCORER)
        client.set_terminated(run)
        with suppress(MlflowException):
            client.create_registered_model(settings.name)
        version = client.create_model_version(settings.name, f"runs:/{run}/model", run).version
        client.set_model_version_tag(settings.name, version, "data_kind", "synthetic")
        client.set_registered_model_alias(settings.name, names.PRODUCTION, version)
        client.transition_model_version_stage(settings.name, version, names.PRODUCTION)
    return str(run)


def test_the_pipelines_user_trains_promotes_and_reports(as_functions: Server) -> None:
    run = _promoted(as_functions)
    client = RestClient(as_functions.settings("pipeline"), 30)
    client.write_artifact(client.run(run), names.MODEL_CARD_MARKDOWN, b"# Card")
    client.describe(client.version_by_alias(names.PRODUCTION), "better")


def test_the_pipelines_user_goes_on_with_an_experiment_that_somebody_else_has_made(as_functions: Server) -> None:
    """As one of an earlier release, whose server asked for no login."""
    earlier = replace(as_functions.settings("admin"), name="earlier")
    with reachable(earlier):
        experiment_id(MlflowClient(as_functions.url), earlier)
    with reachable(replace(earlier, secret="pipeline")):
        client = MlflowClient(as_functions.url)
        run = client.create_run(experiment_id(client, earlier)).info.run_id
        client.log_text(run, "the scorer", names.SCORER)


def test_the_reader_reads_what_serves_and_changes_nothing(as_functions: Server) -> None:
    _promoted(as_functions)
    settings = as_functions.settings("reader")
    reader = RestClient(settings, 30)
    version = reader.version_by_alias(names.PRODUCTION)
    assert reader.artifact(version.run_id, names.SCORER) == b"the scorer"
    assert reader.find_artifact(version.run_id, names.MODEL_CARD_MARKDOWN) is None
    with pytest.raises(UnexpectedAnswer, match="403"):
        reader.write_artifact(reader.run(version.run_id), names.SCORER, b"another scorer")
    with pytest.raises(UnexpectedAnswer, match="403"):
        reader.describe(version, "mine")
    with reachable(settings):
        client = MlflowClient(as_functions.url)
        with pytest.raises(MlflowException, match="403"):
            client.set_registered_model_alias(settings.name, names.PRODUCTION, "1")
        with pytest.raises(MlflowException, match="403"):
            client.create_run(experiment_id(client, settings))


@pytest.mark.parametrize("user", ["pipeline", "reader"])
def test_only_the_administrator_makes_users(server: Server, user: str) -> None:
    url = f"{server.url}/api/2.0/mlflow/users/get?username=admin"
    assert _status(url, login=f"admin:{PASSWORDS['admin']}") == 200
    assert _status(url, login=f"{user}:{PASSWORDS[user]}") == 403


def test_a_user_has_the_password_of_its_secret_when_the_container_is_replaced(server: Server) -> None:
    given = server.variables
    login = [given[f"DATABASE_{part}"] for part in ("HOST", "PORT", "USER", "PASSWORD")]
    variables = given | mlflow_server.environment(login[0], int(login[1]), *login[2:])
    # In a process of its own, because it changes every engine of its process.
    program = "import os; from infra.mlflow_server import *; connect_by_variables(os.environ); create_users(os.environ)"
    url = f"{server.url}/api/2.0/mlflow/registered-models/search"
    for password in ("another-password", PASSWORDS["reader"]):
        changed = os.environ | variables | {"MLFLOW_READER_PASSWORD": password}
        subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=changed, check=True)
        assert _status(url, login=f"reader:{password}") == 200
