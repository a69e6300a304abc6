"""The REST client against the answers of an MLflow server; nothing touches the network."""

import json
from typing import Any

import pytest
from readmission.errors import ConfigurationError, TrackingUnavailable
from readmission.registry.rest import ModelVersion, RestClient, Run, UnexpectedAnswer
from readmission.settings import ModelSettings

from tests.unit.readmission.wire import Wire, http

CLIENT = RestClient(ModelSettings("http://mlflow.example:5000", "readmission"), 1)


def _answer(document: Any) -> bytes:
    return http(200, json.dumps(document).encode())


def test_a_version_is_read_with_its_tags(wire: Wire) -> None:
    entry = {"name": "readmission", "version": 3, "run_id": "r1", "creation_timestamp": "1764000000000"}
    wire.answer = _answer({"model_version": {**entry, "tags": [{"key": "family", "value": "random_forest"}]}})
    assert CLIENT.version("3") == ModelVersion("readmission", "3", "r1", 1764000000000, {"family": "random_forest"})
    assert wire.asked == ["GET /api/2.0/mlflow/model-versions/get?name=readmission&version=3 HTTP/1.1"]


def test_all_versions_are_read_page_by_page_in_the_order_of_their_numbers(wire: Wire) -> None:
    def page(*numbers: str, token: str = "") -> bytes:
        entries = [{"name": "readmission", "version": number, "run_id": f"r{number}"} for number in numbers]
        return _answer({"model_versions": entries} | ({"next_page_token": token} if token else {}))

    wire.answers = [page("10", "9", token="more"), page("2")]
    assert [(one.number, one.run_id) for one in CLIENT.versions()] == [("2", "r2"), ("9", "r9"), ("10", "r10")]
    assert ["page_token=more" in line for line in wire.asked] == [False, True]
    wire.answer = _answer({})
    assert CLIENT.versions() == []


def test_a_run_is_read_with_its_tags_parameters_and_metrics(wire: Wire) -> None:
    data = {
        "tags": [{"key": "data_kind", "value": "real"}],
        "params": [{"key": "depth", "value": "3"}],
        "metrics": [{"key": "auc", "value": 0.7}],
    }
    wire.answer = _answer({"run": {"info": {"artifact_uri": "mlflow-artifacts:/1/r1/artifacts"}, "data": data}})
    assert CLIENT.run("r1") == Run(
        "r1", "mlflow-artifacts:/1/r1/artifacts", {"data_kind": "real"}, {"depth": "3"}, {"auc": 0.7}
    )


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_a_failing_server_is_a_transient_error(wire: Wire, status: int) -> None:
    wire.answer = http(status)
    with pytest.raises(TrackingUnavailable, match=f"answered {status} to GET api/2.0/mlflow/runs/get"):
        CLIENT.run("r1")


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_a_rejected_request_is_a_permanent_error_with_its_status(wire: Wire, status: int) -> None:
    wire.answer = http(status)
    with pytest.raises(UnexpectedAnswer) as failed:
        CLIENT.run("r1")
    assert failed.value.status == status


def test_an_unreachable_server_is_a_transient_error(wire: Wire) -> None:
    wire.answer = ConnectionRefusedError(111, "refused")
    with pytest.raises(TrackingUnavailable, match="cannot be reached"):
        CLIENT.run("r1")


def test_an_unreadable_answer_has_no_status(wire: Wire) -> None:
    wire.answer = http(200, b"<html>Sign in</html>")
    with pytest.raises(UnexpectedAnswer, match="something other than a run") as failed:
        CLIENT.run("r1")
    assert failed.value.status is None


def test_a_missing_artifact_is_looked_up_and_not_requested(wire: Wire) -> None:
    wire.answer = _answer({"files": [{"path": "scorer.json"}]})
    assert CLIENT.find_artifact("r1", "evaluation.json") is None
    assert wire.asked == ["GET /api/2.0/mlflow/artifacts/list?run_id=r1 HTTP/1.1"]


@pytest.mark.parametrize("uri", ["s3://bucket/1/r1/artifacts", ""])
def test_artifacts_that_mlflow_does_not_proxy_cannot_be_written(wire: Wire, uri: str) -> None:
    with pytest.raises(ConfigurationError, match="does not proxy"):
        CLIENT.write_artifact(Run("r1", uri, {}, {}, {}), "model_card.md", b"")
    assert wire.asked == []


def test_a_password_in_the_servers_url_is_not_shown() -> None:
    client = RestClient(ModelSettings("http://user:secret@mlflow.example", "readmission"), 1)
    with pytest.raises(TrackingUnavailable) as failed:
        client.run("r1")
    assert str(failed.value) == "MLflow at http://***@mlflow.example cannot be reached: the URL is not valid"
