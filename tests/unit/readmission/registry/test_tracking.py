"""Which failures of MLflow's client are passed on to be retried: the real client, at the end of a fake socket."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException, RestException
from readmission.errors import TrackingUnavailable
from readmission.registry.tracking import digest, reachable
from readmission.settings import ModelSettings

from tests.unit.readmission.wire import Wire, http

SETTINGS = ModelSettings("http://mlflow.example:5000", "readmission")


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
    """What `download_artifacts` does when it has found out where the artifact is."""
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
def test_a_server_that_cannot_be_reached_may_be_there_later(wire: Wire, client: MlflowClient, error: Exception) -> None:
    wire.answer = error
    with pytest.raises(TrackingUnavailable, match=SETTINGS.tracking_uri):
        _ask(client)


def test_a_server_that_hangs_up_may_be_there_later(wire: Wire, client: MlflowClient) -> None:
    wire.answer = b""
    with pytest.raises(TrackingUnavailable):
        _ask(client)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
@pytest.mark.parametrize("body", [_problem("INTERNAL_ERROR"), b"<h1>Bad</h1>"], ids=["json", "html"])
def test_a_server_that_fails_may_be_better_later(wire: Wire, client: MlflowClient, status: int, body: bytes) -> None:
    wire.answer = http(status, body)
    with pytest.raises(TrackingUnavailable):
        _ask(client)


@pytest.mark.parametrize("code", ["INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE", "DEADLINE_EXCEEDED"])
def test_a_failure_that_mlflow_tells_by_its_code_may_be_better_later(code: str) -> None:
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
def test_an_answer_that_blames_the_request_is_not_retried(
    wire: Wire, client: MlflowClient, status: int, body: bytes
) -> None:
    wire.answer = http(status, body)
    with pytest.raises(MlflowException):
        _ask(client)


def test_an_answer_passes(wire: Wire, client: MlflowClient) -> None:
    wire.answer = http(200, json.dumps({"experiment": {"experiment_id": "7", "name": "readmission"}}).encode())
    assert _ask(client).experiment_id == "7"


@pytest.mark.parametrize("status", [502, 503])
def test_an_artifact_that_a_failing_server_does_not_give_may_be_had_later(
    wire: Wire, client: MlflowClient, tmp_path: Path, status: int
) -> None:
    wire.answer = http(status)
    with pytest.raises(TrackingUnavailable):
        _download(client, tmp_path)


@pytest.mark.parametrize("status", [403, 404])
def test_an_artifact_that_is_not_there_is_not_retried(
    wire: Wire, client: MlflowClient, tmp_path: Path, status: int
) -> None:
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
def test_the_way_to_the_server_is_found_behind_an_error_of_mlflow(hide: Callable[[Exception], None]) -> None:
    with pytest.raises(TrackingUnavailable) as failed, reachable(SETTINGS):
        hide(requests.ConnectionError("refused"))
    assert isinstance(failed.value.__cause__, MlflowException)


@pytest.mark.parametrize("error", [ValueError("mine"), KeyError("mine"), OSError("mine"), MlflowException("mine")])
def test_an_error_that_is_none_of_the_servers_passes_unchanged(error: Exception) -> None:
    with pytest.raises(type(error)) as passed, reachable(SETTINGS):
        raise error
    assert passed.value is error


def test_a_document_is_recognised_by_its_sha_256() -> None:
    assert digest(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
