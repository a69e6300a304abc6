"""Which failures of MLflow's client become retryable errors; the real client talks to a fake socket."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
import urllib3.util.connection
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException, RestException
from readmission.errors import TrackingUnavailable
from readmission.registry.mlflow_client import digest, reachable
from readmission.settings import ModelSettings

from tests.unit.readmission.wire import Wire, http

SETTINGS = ModelSettings("http://mlflow.example:5000", "readmission")


STARTING = "(pg8000.dbapi.ProgrammingError) {'S': 'FATAL', 'C': '57P03', 'M': 'the database system is starting up'}"


@pytest.fixture
def client(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    return MlflowClient(SETTINGS.tracking_uri)


def _problem(code: str) -> bytes:
    return json.dumps({"error_code": code, "message": "…"}).encode()


def _ask(client: MlflowClient) -> Any:
    with reachable(SETTINGS):
        return client.get_experiment_by_name("readmission")


def _download(client: MlflowClient, folder: Path) -> Any:
    """What `download_artifacts` does once it knows where the artifact is."""
    from mlflow.store.artifact.mlflow_artifacts_repo import MlflowArtifactsRepository

    with reachable(SETTINGS):
        repository = MlflowArtifactsRepository("mlflow-artifacts:/1/run/artifacts", SETTINGS.tracking_uri)
        return repository.download_artifacts("scorer.json", str(folder))


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError(111, "Connection refused"),
        TimeoutError("timed out"),
        OSError(113, "No route to host"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_unreachable_server_is_a_transient_error(wire: Wire, client: MlflowClient, error: Exception) -> None:
    wire.answer = error
    with pytest.raises(TrackingUnavailable, match=SETTINGS.tracking_uri):
        _ask(client)


def test_a_server_that_no_packet_reaches_is_known_before_mlflows_client_waits_for_minutes(
    wire: Wire, client: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []

    def connect(address: object, timeout: float, **_: object) -> None:
        waited.append(timeout)
        raise TimeoutError("timed out")

    monkeypatch.setattr(urllib3.util.connection, "create_connection", connect)
    with pytest.raises(TrackingUnavailable, match=SETTINGS.tracking_uri), reachable(SETTINGS):
        pytest.fail("it was not found out")
    assert sum(waited) <= 10


def test_a_dropped_connection_is_a_transient_error(wire: Wire, client: MlflowClient) -> None:
    wire.answer = b""
    with pytest.raises(TrackingUnavailable):
        _ask(client)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
@pytest.mark.parametrize("body", [_problem("INTERNAL_ERROR"), b"<h1>Bad</h1>"], ids=["json", "html"])
def test_a_failing_server_is_a_transient_error(wire: Wire, client: MlflowClient, status: int, body: bytes) -> None:
    wire.answer = http(status, body)
    with pytest.raises(TrackingUnavailable):
        _ask(client)


def test_a_database_of_the_server_that_starts_is_a_transient_error(wire: Wire, client: MlflowClient) -> None:
    wire.answer = http(400, json.dumps({"error_code": "BAD_REQUEST", "message": STARTING}).encode())
    with pytest.raises(TrackingUnavailable, match="the database system is starting up"):
        _ask(client)


@pytest.mark.parametrize("code", ["INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE", "DEADLINE_EXCEEDED"])
def test_an_mlflow_error_code_of_a_failing_server_is_a_transient_error(code: str) -> None:
    with pytest.raises(TrackingUnavailable), reachable(SETTINGS):
        raise RestException({"error_code": code, "message": "…"})


@pytest.mark.parametrize(
    ("status", "body"),
    [
        pytest.param(400, _problem("INVALID_PARAMETER_VALUE"), id="400"),
        pytest.param(401, b"<h1>Unauthorized</h1>", id="401-html"),
        pytest.param(403, _problem("PERMISSION_DENIED"), id="403"),
        pytest.param(404, b"<h1>Not Found</h1>", id="404-html"),
    ],
)
def test_a_rejected_request_is_a_permanent_error(wire: Wire, client: MlflowClient, status: int, body: bytes) -> None:
    wire.answer = http(status, body)
    with pytest.raises(MlflowException):
        _ask(client)


def test_an_answer_is_passed_through(wire: Wire, client: MlflowClient) -> None:
    wire.answer = http(200, json.dumps({"experiment": {"experiment_id": "7", "name": "readmission"}}).encode())
    assert _ask(client).experiment_id == "7"


@pytest.mark.parametrize("status", [502, 503])
def test_a_download_from_a_failing_server_is_a_transient_error(
    wire: Wire, client: MlflowClient, tmp_path: Path, status: int
) -> None:
    wire.answer = http(status)
    with pytest.raises(TrackingUnavailable):
        _download(client, tmp_path)


@pytest.mark.parametrize("status", [403, 404])
def test_a_missing_artifact_is_a_permanent_error(wire: Wire, client: MlflowClient, tmp_path: Path, status: int) -> None:
    wire.answer = http(status)
    with pytest.raises((requests.HTTPError, MlflowException)):
        _download(client, tmp_path)


def _explicitly(cause: Exception) -> None:
    raise MlflowException("failed") from cause


def _implicitly(cause: Exception) -> None:
    try:
        raise cause
    except Exception:
        raise MlflowException("failed")  # noqa: B904


@pytest.mark.parametrize("hide", [_explicitly, _implicitly])
def test_a_connection_error_wrapped_by_mlflow_is_a_transient_error(hide: Callable[[Exception], None]) -> None:
    with pytest.raises(TrackingUnavailable) as failed, reachable(SETTINGS):
        hide(requests.ConnectionError("refused"))
    assert isinstance(failed.value.__cause__, MlflowException)


@pytest.mark.parametrize("error", [ValueError("mine"), KeyError("mine"), OSError("mine"), MlflowException("mine")])
def test_an_error_that_is_not_the_servers_is_raised_unchanged(error: Exception) -> None:
    with pytest.raises(type(error)) as passed, reachable(SETTINGS):
        raise error
    assert passed.value is error


def test_the_digest_of_a_document_is_its_sha_256() -> None:
    assert digest(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_password_in_the_servers_url_is_not_shown() -> None:
    uri = "http://user:secret@mlflow.example"
    with pytest.raises(TrackingUnavailable) as failed, reachable(ModelSettings(uri, "readmission")):
        raise requests.ConnectionError(f"API request to {uri}/api failed")
    assert str(failed.value) == (
        "MLflow at http://***@mlflow.example: API request to http://***@mlflow.example/api failed"
    )
