"""How serving reads an MLflow server's answers; nothing touches the network."""

import json
from typing import Any

import pytest
from readmission.errors import ModelUnavailable
from readmission.registry.production import MlflowRegistry, Version
from readmission.settings import ModelSettings

from tests.unit.readmission.wire import Wire, http

REGISTRY = MlflowRegistry(ModelSettings("http://mlflow.example:5000", "readmission model"))
TAGS = {"family": "random_forest", "data_kind": "real", "scorer_sha256": "abc", "decision": "promoted"}
VERSION = Version("readmission model", "3", "run-1", "random_forest", "real", "abc")


def _entry(tags: dict[str, str] = TAGS, **changes: Any) -> dict[str, Any]:
    listed = [{"key": key, "value": value} for key, value in tags.items()]
    return {"name": "readmission model", "version": "3", "run_id": "run-1", "tags": listed, **changes}


def _answer(entry: Any) -> bytes:
    return http(200, json.dumps({"model_version": entry}).encode())


def _reason() -> str:
    with pytest.raises(ModelUnavailable) as failed:
        REGISTRY.production()
    return str(failed.value)


def test_the_version_in_production_is_read_with_its_tags(wire: Wire) -> None:
    wire.answer = _answer(_entry())
    assert REGISTRY.production() == VERSION


def test_the_time_and_reason_of_the_promotion_are_read_from_tags(wire: Wire) -> None:
    wire.answer = _answer(_entry({**TAGS, "promoted_at": "2026-01-01T12:00:00+00:00", "decision_reason": "better"}))
    version = REGISTRY.production()
    assert (version.promoted_at, version.decision_reason) == ("2026-01-01T12:00:00+00:00", "better")


def test_the_sites_that_the_version_learned_from_are_read_from_a_tag(wire: Wire) -> None:
    wire.answer = _answer(_entry({**TAGS, "sites": "default,north"}))
    assert REGISTRY.production().sites == ("default", "north")


def test_the_site_that_the_version_was_recalibrated_for_is_read_from_a_tag(wire: Wire) -> None:
    wire.answer = _answer(_entry({**TAGS, "recalibrated_for": "main"}))
    assert REGISTRY.production().recalibrated_for == "main"
    wire.answer = _answer(_entry(TAGS))
    assert REGISTRY.production().recalibrated_for is None


def test_the_request_names_the_model_and_the_alias(wire: Wire) -> None:
    wire.answer = _answer(_entry())
    REGISTRY.production()
    assert wire.asked == [
        "GET /api/2.0/mlflow/registered-models/alias?name=readmission+model&alias=Production HTTP/1.1"
    ]


@pytest.mark.parametrize("status", [400, 404], ids=["no-alias", "no-model"])
def test_an_empty_production_is_reported(wire: Wire, status: int) -> None:
    wire.answer = http(status, b"{}")
    assert _reason() == "no version of the model 'readmission model' is in Production yet"


@pytest.mark.parametrize(
    "message",
    [
        "(pg8000.dbapi.ProgrammingError) {'S': 'FATAL', 'C': '57P03', 'M': 'the database system is starting up'}",
        "(pg8000.exceptions.InterfaceError) network error",
    ],
)
def test_a_database_of_the_server_that_is_away_is_not_an_empty_production(wire: Wire, message: str) -> None:
    wire.answer = http(400, json.dumps({"error_code": "BAD_REQUEST", "message": message}).encode())
    assert _reason().startswith("MLflow at http://mlflow.example:5000 answered 400")


@pytest.mark.parametrize("status", [403, 500, 503])
def test_a_server_that_rejects_or_fails_is_reported_with_its_address(wire: Wire, status: int) -> None:
    wire.answer = http(status)
    assert _reason() == (
        f"MLflow at http://mlflow.example:5000 answered {status} to GET api/2.0/mlflow/registered-models/alias"
    )


@pytest.mark.parametrize(
    "error",
    [ConnectionRefusedError(111, "refused"), TimeoutError("timed out"), OSError("no such host")],
    ids=lambda error: type(error).__name__,
)
def test_an_unreachable_server_is_reported_with_the_cause(wire: Wire, error: Exception) -> None:
    wire.answer = error
    assert _reason() == f"MLflow at http://mlflow.example:5000 cannot be reached: {error}"


@pytest.mark.parametrize("answer", [b"", b"SSH-2.0-OpenSSH\r\n", http(200, b"{}")[:-1]], ids=["nothing", "ssh", "cut"])
def test_an_answer_that_is_cut_off_or_is_not_http_is_reported(wire: Wire, answer: bytes) -> None:
    wire.answer = answer
    assert "cannot be reached" in _reason()


@pytest.mark.parametrize(
    "body",
    [
        b"<html>Sign in</html>",
        b"",
        b"{}",
        b"[]",
        b"null",
        b'{"model_version": null}',
        b'{"model_version": []}',
        b"\xff",
    ],
)
def test_an_answer_that_is_not_a_model_version_is_reported(wire: Wire, body: bytes) -> None:
    wire.answer = http(200, body)
    assert _reason() == "MLflow at http://mlflow.example:5000 sent something other than a model version"


@pytest.mark.parametrize("name", ["family", "data_kind", "scorer_sha256"])
def test_a_missing_tag_of_the_pipeline_is_named(wire: Wire, name: str) -> None:
    wire.answer = _answer(_entry({key: value for key, value in TAGS.items() if key != name}))
    assert _reason() == f"version 3 has no tag {name!r}: the pipeline did not register it"


def test_a_version_without_tags_is_reported(wire: Wire) -> None:
    entry = _entry()
    del entry["tags"]
    wire.answer = _answer(entry)
    assert "the pipeline did not register it" in _reason()


def test_the_scorer_document_is_the_runs_artifact(wire: Wire) -> None:
    wire.answer = http(200, b"\x00bytes")
    assert REGISTRY.scorer_document(VERSION) == b"\x00bytes"
    assert wire.asked == ["GET /get-artifact?path=scorer.json&run_uuid=run-1 HTTP/1.1"]


@pytest.mark.parametrize("status", [404, 500])
def test_a_scorer_document_that_cannot_be_fetched_is_reported_with_the_version(wire: Wire, status: int) -> None:
    wire.answer = http(status)
    with pytest.raises(ModelUnavailable, match=f"the scorer of version 3: .* answered {status} "):
        REGISTRY.scorer_document(VERSION)


def test_a_scorer_document_that_is_cut_off_is_reported(wire: Wire) -> None:
    wire.answer = http(200, b"a long document")[:-5]
    with pytest.raises(ModelUnavailable, match="cannot be reached"):
        REGISTRY.scorer_document(VERSION)


def _run(*metrics: tuple[str, Any]) -> bytes:
    listed = [{"key": key, "value": value, "timestamp": 1, "step": 0} for key, value in metrics]
    return http(200, json.dumps({"run": {"info": {}, "data": {"metrics": listed}}}).encode())


def test_the_metrics_are_the_finite_ones_of_the_versions_run(wire: Wire) -> None:
    wire.answer = _run(("test_auc_early", 0.67), ("rows_train", 100), ("test_early_ece", "NaN"), ("x", "Infinity"))
    assert REGISTRY.metrics(VERSION) == {"test_auc_early": 0.67, "rows_train": 100.0}
    assert wire.asked == ["GET /api/2.0/mlflow/runs/get?run_id=run-1 HTTP/1.1"]


@pytest.mark.parametrize("body", [b"<html>", b"{}", b"[]", b'{"run": null}', b'{"run": {"data": {}}}', b"\xff"])
def test_an_answer_that_is_not_a_run_is_reported(wire: Wire, body: bytes) -> None:
    wire.answer = http(200, body)
    with pytest.raises(ModelUnavailable, match=r"the metrics of version 3: .* something other than a run"):
        REGISTRY.metrics(VERSION)


@pytest.mark.parametrize("status", [404, 500])
def test_metrics_that_cannot_be_fetched_are_reported_with_the_version(wire: Wire, status: int) -> None:
    wire.answer = http(status)
    with pytest.raises(ModelUnavailable, match=f"the metrics of version 3: .* answered {status} "):
        REGISTRY.metrics(VERSION)


@pytest.mark.parametrize("files", [{}, {"files": []}, {"files": [{"path": "model"}]}], ids=["none", "empty", "others"])
def test_a_run_without_a_model_card_has_none(wire: Wire, files: Any) -> None:
    wire.answer = http(200, json.dumps(files).encode())
    assert REGISTRY.model_card(VERSION, "model_card.md") is None
    assert wire.asked == ["GET /api/2.0/mlflow/artifacts/list?run_id=run-1 HTTP/1.1"]


def test_a_model_card_that_is_listed_is_fetched(wire: Wire) -> None:
    wire.answer = http(200, json.dumps({"files": [{"path": "model_card.md"}]}).encode())
    # The wire gives every request the same answer, so the list stands for the card's text.
    assert REGISTRY.model_card(VERSION, "model_card.md") == '{"files": [{"path": "model_card.md"}]}'
    assert wire.asked[1:] == ["GET /get-artifact?path=model_card.md&run_uuid=run-1 HTTP/1.1"]


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"files": [1]}', b'{"files": [{}]}', b'{"files": null}'])
def test_an_answer_that_is_not_a_list_of_artifacts_is_reported(wire: Wire, body: bytes) -> None:
    wire.answer = http(200, body)
    with pytest.raises(ModelUnavailable, match="something other than a list of artifacts"):
        REGISTRY.model_card(VERSION, "model_card.md")
