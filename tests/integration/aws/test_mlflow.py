"""The command of MLflow's container, run as the task definition has it, on the local Postgres and bucket."""

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
from pathlib import Path
from typing import Any

import pytest
from readmission.storage import access

from infra.local import aws
from infra.local.servers import postgres
from infra.local.servers.programs import ARTIFACTS
from tests.platforms import Platform, free_ports
from tests.unit.templates import PLATFORM

(CONTAINER,) = PLATFORM["Resources"]["MlflowTask"]["Properties"]["ContainerDefinitions"]
HOST = "mlflow.hospital.example"
PASSWORD = "of-the-administrator"


def _given(platform: Platform, folder: Path) -> dict[str, str]:
    """The variables that Fargate sets: the same names, with values of this machine."""
    settings = platform.settings
    login = postgres.owner(settings, "mlflow")
    values = {
        "DATABASE_HOST": login.host,
        "DATABASE_PORT": str(login.port),
        "DATABASE_USER": login.user,
        "DATABASE_PASSWORD": login.password,
        "ARTIFACTS": ARTIFACTS,
        "ALLOWED_HOSTS": HOST,
        "MLFLOW_AUTH_CONFIG_PATH": str(folder / "basic_auth.ini"),
        "MLFLOW_AUTH_ADMIN_USERNAME": "admin",
        "MLFLOW_AUTH_ADMIN_PASSWORD": PASSWORD,
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "session",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    named = {one["Name"] for one in (*CONTAINER["Environment"], *CONTAINER["Secrets"])}
    assert named == values.keys()
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return values | aws.environment(settings) | {"PATH": path, "HOME": str(folder)}


@pytest.fixture(scope="module")
def server(system: Platform, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    (port,) = free_ports(1)
    (command,) = CONTAINER["Command"]
    assert command.count("5000") == 1
    local = command.replace("--port 5000", f"--port {port}").replace("0.0.0.0", "127.0.0.1")
    folder = tmp_path_factory.mktemp("mlflow")
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*CONTAINER["EntryPoint"], local],
            env=_given(system, folder),
            cwd=folder,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        _wait(process, port, folder / "log")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(60)


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    for _ in range(1800):
        assert process.poll() is None, log.read_text()
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.1)
    raise AssertionError(log.read_text())


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


def test_the_load_balancers_health_check_needs_neither_a_login_nor_the_name(server: str) -> None:
    path = PLATFORM["Resources"]["Targets"]["Properties"]["HealthCheckPath"]
    assert _status(f"{server}{path}", host="10.0.0.1:5000") == 200


@pytest.mark.parametrize(
    ("host", "login", "status"),
    [
        (HOST, f"admin:{PASSWORD}", 200),
        (HOST, "", 401),
        (HOST, "admin:guessed", 401),
        ("elsewhere.example", f"admin:{PASSWORD}", 403),
    ],
    ids=["login", "none", "wrong password", "another host"],
)
def test_only_who_logs_in_under_the_right_name_is_answered(server: str, host: str, login: str, status: int) -> None:
    url = f"{server}/api/2.0/mlflow/registered-models/search"
    assert _status(url, host, login) == status


def test_mlflow_works_as_its_own_database_user(server: str, system: Platform) -> None:
    owners: Any = system.query("mlflow", "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'")
    assert owners == [[access.MLFLOW]]
