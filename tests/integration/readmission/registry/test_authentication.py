"""The functions' clients against a real MLflow server that asks for a login."""

import json
import os
import secrets as random
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import requests
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from readmission.errors import ModelUnavailable
from readmission.registry import credentials, names
from readmission.registry.mlflow_client import experiment_id, reachable
from readmission.registry.production import MlflowRegistry
from readmission.registry.rest import RestClient, UnexpectedAnswer
from readmission.settings import ModelSettings
from readmission.storage import secrets

from tests.integration.readmission.models import MLFLOW_WARNINGS

pytestmark = MLFLOW_WARNINGS

_SECONDS = 180
SECRET = "mlflow-login"


@dataclass
class Server:
    """A running server, and the secret with the login of its only user."""

    url: str
    password: str

    @property
    def settings(self) -> ModelSettings:
        return ModelSettings(self.url, "readmission", secret=SECRET)

    def get_secret_value(self, SecretId: str) -> dict[str, str]:
        """Secrets Manager's part."""
        assert SecretId == SECRET
        return {"SecretString": json.dumps({"username": "admin", "password": self.password})}


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("mlflow")
    password = random.token_urlsafe(16)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (folder / "auth.ini").write_text(
        "[mlflow]\ndefault_permission = NO_PERMISSIONS\nadmin_username = admin\n"
        f"database_uri = sqlite:///{folder}/auth.db\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
    )
    command = [sys.executable, "-m", "mlflow", "server", "--app-name", "basic-auth", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--workers", "1", "--backend-store-uri", f"sqlite:///{folder}/mlflow.db"]
    command += ["--artifacts-destination", str(folder / "artifacts")]
    environment = os.environ | {
        "MLFLOW_AUTH_CONFIG_PATH": str(folder / "auth.ini"),
        "MLFLOW_AUTH_ADMIN_PASSWORD": password,
        "MLFLOW_FLASK_SERVER_SECRET_KEY": random.token_urlsafe(16),
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True)
        try:
            _wait(process, f"http://127.0.0.1:{port}/health", folder / "log")
            yield Server(f"http://127.0.0.1:{port}", password)
        finally:
            os.killpg(process.pid, 15)
            process.wait()


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    end = time.monotonic() + _SECONDS
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.5)
    pytest.fail(f"MLflow did not start:\n{log.read_text()[-4000:]}")


@pytest.fixture
def server(started: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(secrets, "boto3", SimpleNamespace(client=lambda _, config: started))
    for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
        monkeypatch.setenv(name, "")  # so that it is restored
        monkeypatch.delenv(name)
    credentials.of.cache_clear()
    yield started
    credentials.of.cache_clear()


def _run(server: Server, scorer: str) -> str:
    """A run as training logs it, but for the address that training sets for its whole process."""
    with reachable(server.settings):
        client = MlflowClient(server.url)
        run = client.create_run(experiment_id(client, server.settings)).info.run_id
        client.log_text(run, scorer, names.SCORER)
        client.set_terminated(run)
    return str(run)


def test_what_training_logs_is_read_and_written_with_the_login_of_the_secret(server: Server) -> None:
    client = RestClient(server.settings, 30)
    run = client.run(_run(server, "the scorer"))
    client.write_artifact(run, names.MODEL_CARD_MARKDOWN, b"# Card")
    assert client.artifact(run.id, names.SCORER) == b"the scorer"
    assert client.find_artifact(run.id, names.MODEL_CARD_MARKDOWN) == b"# Card"
    with pytest.raises(ModelUnavailable, match="no version of the model 'readmission' is in Production yet"):
        MlflowRegistry(server.settings).production()


def test_without_a_secret_the_server_refuses_and_the_error_says_why(server: Server) -> None:
    without = replace(server.settings, secret="")
    with pytest.raises(UnexpectedAnswer, match=r"answered 401 .* it needs a login, and no secret with one is named"):
        RestClient(without, 30).run("r1")
    with pytest.raises(MlflowException, match="401"), reachable(without):
        MlflowClient(server.url).get_experiment_by_name("readmission")


def test_a_rotated_password_is_followed_by_clients_that_know_the_old_one(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(credentials, "_READ_AGAIN_SECONDS", 0)
    client = RestClient(server.settings, 30)
    run = _run(server, "the scorer")
    assert client.artifact(run, names.SCORER) == b"the scorer"
    rotated = random.token_urlsafe(16)
    changed = requests.patch(
        f"{server.url}/api/2.0/mlflow/users/update-password",
        json={"username": "admin", "current_password": server.password, "password": rotated},
        auth=("admin", server.password),
        timeout=30,
    )
    assert changed.status_code == 200, changed.text
    server.password = rotated
    assert client.artifact(run, names.SCORER) == b"the scorer"
    assert _run(server, "another")
