"""The function by which operators find and erase patients."""

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from readmission.errors import InvalidRequest
from readmission.settings import DatabaseSettings

from tests.unit.functions.lambdas import Context, load

REQUEST = {"patient": 8222157, "site": "north"}
FOUND = {"site": "north", "rows": {"diabetes_raw": 3}, "files": [{"key": "a/key", "rows": 3}], "versions": ["2"]}


class Erasure:
    """Answers, and records what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def find(self, request: Any, stores: Any) -> Any:
        self.asked.append(("find", request, stores.raw, stores.clean, stores.bucket))
        return FOUND

    def erase(self, request: Any, stores: Any) -> Any:
        self.asked.append(("erase", request, stores.raw, stores.clean, stores.bucket))
        return FOUND


@contextmanager
def _connect(database: str, settings: DatabaseSettings) -> Iterator[str]:
    assert settings == DatabaseSettings("secret", "require")
    yield f"connection to {database}"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "DATABASE_SECRET": "secret",
        "DATABASE_TLS": "require",
        "DATA_BUCKET": "bucket",
        "MLFLOW_TRACKING_URI": "http://mlflow.example",
        "MODEL_NAME": "readmission",
    }.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("task", ["find", "erase"])
def test_a_request_is_passed_on_and_no_patient_is_logged(task: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module, erasure, log = load("erase"), Erasure(), io.StringIO()
    vars(module).update(connect=_connect, s3_client=lambda: "s3", erasure=erasure)
    monkeypatch.setattr(module.logger.registered_handler, "stream", log)
    assert module.handler({task: REQUEST}, Context()) == FOUND
    assert erasure.asked == [(task, REQUEST, "connection to raw", "connection to clean", "bucket")]
    line = json.loads(log.getvalue())
    assert (line["rows"], line["files"], line["versions"]) == ({"diabetes_raw": 3}, 1, ["2"])
    assert "8222157" not in log.getvalue() and "a/key" not in log.getvalue()


@pytest.mark.parametrize(("secret", "known"), [("", False), ("the key", True)])
def test_forecasts_are_found_by_the_key_of_the_prediction_log_if_there_is_one(
    monkeypatch: pytest.MonkeyPatch, secret: str, known: bool
) -> None:
    monkeypatch.setenv("PATIENT_KEY_SECRET", secret)
    module = load("erase")
    vars(module).update(connect=_connect, s3_client=lambda: "s3")
    with module._stores() as stores:
        assert (stores.keys is not None) is known


@pytest.mark.parametrize("event", [{}, {"erase": REQUEST, "find": REQUEST}, {"delete": REQUEST}, [], None])
def test_anything_else_is_refused(event: Any) -> None:
    module, erasure = load("erase"), Erasure()
    vars(module).update(erasure=erasure)
    with pytest.raises(InvalidRequest):
        module.handler(event, Context())
    assert erasure.asked == []
