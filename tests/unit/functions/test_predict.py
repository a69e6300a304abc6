"""The inference function behind API Gateway: a REST API's event in, its answer out."""

import asyncio
import base64
import io
import json
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Any

import pytest
from readmission.domain.predictions import Message
from readmission.errors import ConfigurationError, DatabaseUnavailable, PredictionNotLogged
from readmission.identity.patient_key import patient_key
from readmission.registry import production
from readmission.serving import earlier_stays, forecasts, prediction_queue
from readmission.serving.encounters import Patient
from readmission.serving.patient_history import EarlierStays
from readmission.serving.schemas import EXAMPLE, RAW_EXAMPLE
from readmission.settings import DatabaseSettings, PredictionLogSettings
from snapshot_restore_py import get_after_restore

from tests.unit.functions.lambdas import Context, counters_in, load, metrics_in, series
from tests.unit.readmission.documents import constant
from tests.unit.readmission.serving.fakes import FakeRegistry

GATEWAY_ID = "c6af9ac6-7b61-11e6-9a41-93e8deadbeef"


@pytest.fixture(autouse=True)
def event_loop() -> Iterator[None]:
    """Mangum takes the thread's event loop, and Python warns of one that it has to make for that."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield
    asyncio.set_event_loop(None)
    loop.close()


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> FakeRegistry:
    """The registry that the function finds, with version 1 in Production."""
    fake = FakeRegistry()
    fake.promote("1", constant(0.1, 0.2, 0.7))
    monkeypatch.setattr(production, "MlflowRegistry", lambda settings: fake)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow.example")
    monkeypatch.setenv("MODEL_NAME", "readmission")
    return fake


@pytest.fixture
def app(models: FakeRegistry) -> ModuleType:
    return load("predict")


@pytest.fixture
def log(app: ModuleType, monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What the function logs from now on. Its logger keeps the output stream that existed when it was created."""
    stream = io.StringIO()
    monkeypatch.setattr(app.logger.registered_handler, "stream", stream)
    return stream


def _event(method: str, path: str, body: str | None = None, encoded: bool = False, **changes: str) -> dict[str, Any]:
    """What a REST API with a `{proxy+}` resource sends (payload 1.0)."""
    headers = {
        "Accept": "*/*",
        "Content-Type": "application/json",
        "Host": "abc123.execute-api.eu-central-1.amazonaws.com",
        "User-Agent": "curl/8.5.0",
        "X-Forwarded-For": "203.0.113.7",
        "X-Forwarded-Port": "443",
        "X-Forwarded-Proto": "https",
        "x-api-key": "a-key-of-at-least-20-characters",
        **changes,
    }
    return {
        "resource": "/{proxy+}",
        "path": path,
        "httpMethod": method,
        "headers": headers,
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "pathParameters": {"proxy": path.lstrip("/")},
        "stageVariables": None,
        "requestContext": {
            "resourceId": "r1",
            "resourcePath": "/{proxy+}",
            "httpMethod": method,
            "path": f"/v1{path}",
            "stage": "v1",
            "accountId": "000000000000",
            "apiId": "abc123",
            "requestId": GATEWAY_ID,
            "requestTimeEpoch": 1767225600000,
            "protocol": "HTTP/1.1",
            "identity": {"sourceIp": "203.0.113.7", "userAgent": "curl/8.5.0", "apiKey": "a-key"},
        },
        "body": body,
        "isBase64Encoded": encoded,
    }


def _send(app: ModuleType, *event: Any) -> tuple[int, Any]:
    answer = app.handler(_event(*event), Context())
    assert answer["isBase64Encoded"] is False
    return answer["statusCode"], json.loads(answer["body"])


def test_a_prediction_is_answered(app: ModuleType) -> None:
    status, answer = _send(app, "POST", "/predict", json.dumps(EXAMPLE))
    assert (status, answer["readmitted"], answer["model_version"]) == (200, "NO", "1")


def test_a_body_in_base64_is_accepted(app: ModuleType) -> None:
    body = base64.b64encode(json.dumps(EXAMPLE).encode()).decode()
    assert _send(app, "POST", "/predict", body, True)[0] == 200


def test_the_content_type_of_the_answer_is_json(app: ModuleType) -> None:
    answer = app.handler(_event("GET", "/health"), Context())
    headers = {**answer["headers"], **answer["multiValueHeaders"]}
    assert headers["content-type"] in ("application/json", ["application/json"])


@pytest.mark.parametrize("body", [None, "", "{", "[]", json.dumps({**EXAMPLE, "age_numeric": -1})])
def test_an_invalid_body_is_a_client_error(app: ModuleType, body: str | None) -> None:
    status, answer = _send(app, "POST", "/predict", body)
    assert status == 422
    assert answer["detail"]


def test_the_openapi_document_is_relative_to_the_stage(app: ModuleType) -> None:
    status, answer = _send(app, "GET", "/openapi.json")
    assert (status, answer["servers"]) == (200, [{"url": "."}])


def test_the_docs_are_a_page(app: ModuleType) -> None:
    answer = app.handler(_event("GET", "/docs"), Context())
    assert answer["statusCode"] == 200
    assert "openapi.json" in answer["body"]


def test_an_unknown_path_is_not_found(app: ModuleType) -> None:
    assert _send(app, "GET", "/nothing")[0] == 404


def test_the_registry_is_polled_at_the_cold_start(models: FakeRegistry) -> None:
    app = load("predict")
    assert (models.polls, models.downloads) == (1, 1)
    _send(app, "POST", "/predict", json.dumps(EXAMPLE))
    assert models.polls == 1


def test_a_cold_start_without_a_model_answers_with_the_reason(models: FakeRegistry) -> None:
    models.problem = "MLflow cannot be reached"
    status, answer = _send(load("predict"), "POST", "/predict", json.dumps(EXAMPLE))
    assert (status, answer["detail"]) == (503, "MLflow cannot be reached")


def test_a_cold_start_with_a_broken_model_answers_with_the_reason(models: FakeRegistry) -> None:
    models.promote("1", b"<html>")
    status, answer = _send(load("predict"), "GET", "/health")
    assert status == 503
    assert "not valid JSON" in answer["detail"]


@pytest.mark.parametrize("name", ["MLFLOW_TRACKING_URI", "MODEL_NAME"])
def test_a_missing_variable_fails_the_cold_start_with_its_name(
    models: FakeRegistry, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.delenv(name)
    with pytest.raises(ConfigurationError, match=name):
        load("predict")


def test_values_of_a_request_are_not_logged(
    app: ModuleType, log: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    app.logger.info("a line that is logged")
    _send(app, "POST", "/predict", json.dumps({**EXAMPLE, "age_numeric": 87654321}))
    _send(app, "POST", "/predict", json.dumps({**RAW_EXAMPLE, "patient_nbr": 87654321, "race": "87654321"}))
    captured = capsys.readouterr()
    assert "a line that is logged" in log.getvalue()
    assert "87654321" not in log.getvalue() + captured.out + captured.err


def test_a_problem_is_not_encoded_in_base64(app: ModuleType) -> None:
    answer = app.handler(_event("GET", "/nothing"), Context())
    assert answer["isBase64Encoded"] is False and json.loads(answer["body"])["status"] == 404


def test_a_batch_of_csv_is_answered_as_csv(app: ModuleType) -> None:
    text = ",".join(EXAMPLE) + "\n" + ",".join(str(value) for value in EXAMPLE.values())
    answer = app.handler(_event("POST", "/predict/batch", text, **{"Content-Type": "text/csv"}), Context())
    assert (answer["statusCode"], answer["isBase64Encoded"]) == (200, False)
    assert answer["body"].splitlines()[1].startswith("1,NO,")


def test_the_request_id_is_the_gateways_unless_the_client_sends_one(app: ModuleType) -> None:
    assert _send(app, "POST", "/predict", json.dumps(EXAMPLE))[1]["request_id"] == GATEWAY_ID
    answer = app.handler(_event("GET", "/nothing", **{"X-Request-Id": "ward-7"}), Context())
    assert json.loads(answer["body"])["request_id"] == "ward-7"


def test_every_log_line_of_a_request_has_its_id(
    app: ModuleType, models: FakeRegistry, log: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(fields: Any) -> Any:
        raise ZeroDivisionError(fields["medical_specialty"])

    models.promote("2", constant(0.1, 0.2, 0.7))
    _send(app, "POST", "/reload-model")
    monkeypatch.setattr(forecasts, "inputs_of", fail)
    assert _send(app, "POST", "/predict", json.dumps({**EXAMPLE, "medical_specialty": "Zymurgy"}))[0] == 500
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    assert [line["level"] for line in lines] == ["INFO", "INFO", "ERROR", "INFO"]
    assert {line["correlation_id"] for line in lines} == {GATEWAY_ID}
    assert "ZeroDivisionError at\n" in lines[2]["message"] and "Zymurgy" not in log.getvalue()


@pytest.mark.parametrize(
    ("method", "path", "status", "told"),
    [
        ("GET", "/health", 200, ("GET", "/health")),
        ("GET", "/predict", 405, ("GET", "/predict")),
        ("GET", "/patients/87654321", 404, ("GET", "other")),
        ("87654321", "/health", 405, ("other", "/health")),
    ],
)
def test_a_request_is_logged_only_by_route_status_and_version(
    app: ModuleType, log: io.StringIO, method: str, path: str, status: int, told: tuple[str, str]
) -> None:
    assert _send(app, method, path)[0] == status
    line = json.loads(log.getvalue())
    assert (line["method"], line["route"], line["status"], line["model_version"]) == (*told, status, "1")
    assert line["duration_ms"] > 0 and "87654321" not in log.getvalue()


def test_only_pages_of_configured_origins_may_send_requests(
    models: FakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CORS_ALLOW_ORIGINS", "https://ward.example")
    asked = {"Origin": "https://ward.example", "Access-Control-Request-Method": "POST"}
    answer = load("predict").handler(_event("OPTIONS", "/predict", **asked), Context())
    headers = {**answer["headers"], **answer["multiValueHeaders"]}
    assert (answer["statusCode"], headers["access-control-allow-origin"]) == (200, "https://ward.example")


def test_a_forecast_is_counted_by_version_and_class_and_its_duration_written(
    app: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    app.handler(_event("POST", "/predict", json.dumps(EXAMPLE)), Context())
    written = capsys.readouterr().out
    assert counters_in(written) == {
        series("Requests", service="predict", route="/predict", status="200"): 1,
        series("Predictions", service="predict", model_version="1", readmitted="NO"): 1,
    }
    times = metrics_in(written)
    scorer, handler = (
        times[series("ScorerDuration", service="predict")],
        times[series("RequestDuration", service="predict", route="/predict")],
    )
    assert 0 < scorer < handler


def test_rows_of_a_batch_are_counted_by_class_and_as_refused(
    app: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    body = json.dumps({"encounters": [EXAMPLE, {}, EXAMPLE, 1]})
    app.handler(_event("POST", "/predict/batch", body), Context())
    assert counters_in(capsys.readouterr().out) == {
        series("Requests", service="predict", route="/predict/batch", status="200"): 1,
        series("Predictions", service="predict", model_version="1", readmitted="NO"): 2,
        series("ValidationErrors", service="predict", route="/predict/batch"): 2,
    }


@pytest.mark.parametrize(("body", "status"), [("{}", 422), ("not JSON", 422)])
def test_a_refused_encounter_is_counted_as_a_validation_error(
    app: ModuleType, capsys: pytest.CaptureFixture[str], body: str, status: int
) -> None:
    capsys.readouterr()
    app.handler(_event("POST", "/predict", body), Context())
    assert counters_in(capsys.readouterr().out) == {
        series("Requests", service="predict", route="/predict", status=str(status)): 1,
        series("ValidationErrors", service="predict", route="/predict"): 1,
    }


def test_a_loaded_model_is_counted_with_the_time_of_its_promotion(
    models: FakeRegistry, capsys: pytest.CaptureFixture[str]
) -> None:
    models.promote("2", constant(0.1, 0.2, 0.7), promoted_at="2026-01-01T00:00:00+00:00")
    load("predict")
    assert counters_in(capsys.readouterr().out) == {
        series("ModelReloads", service="predict", outcome="loaded"): 1,
        series("ModelPromotedTimestamp", service="predict"): 1767225600,
    }


def test_a_failed_poll_of_the_registry_is_counted(models: FakeRegistry, capsys: pytest.CaptureFixture[str]) -> None:
    models.problem = "MLflow is away"
    load("predict")
    found = counters_in(capsys.readouterr().out)
    assert found == {series("ModelReloads", service="predict", outcome="failed"): 1}


def test_after_a_snapstart_restore_the_first_answer_is_by_the_version_in_production(models: FakeRegistry) -> None:
    """The model's clock stands still in this test, as it may between snapshot and restore: it would not poll again."""
    restored = len(get_after_restore())
    app = load("predict")
    models.promote("2", constant(0.7, 0.2, 0.1))
    hooks = get_after_restore()[restored:]
    vars(app.model_cache)["_clock"] = lambda: 0.0
    for hook, arguments, options in hooks:
        hook(*arguments, **options)
    assert _send(app, "GET", "/health") == (200, {"status": "ok", "model_version": "2"})


def test_below_the_base_path_of_a_domain_the_api_answers_as_without(
    app: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    event = _event("GET", "/health") | {"path": "/readmission/health"}
    answer = app.handler(event, Context())
    assert (answer["statusCode"], json.loads(answer["body"])["model_version"]) == (200, "1")
    counted = counters_in(capsys.readouterr().out)
    assert counted[series("Requests", service="predict", route="/health", status="200")] == 1


class Stays:
    """The earlier stays of every patient: two. Raises `problem` while it is set."""

    def __init__(self, *settings: object) -> None:
        self.settings = settings
        self.opened = 0
        self.problem: Exception | None = None

    def open(self) -> None:
        self.opened += 1

    def read(self, data_kind: str, patients: Sequence[Patient]) -> list[EarlierStays]:
        if self.problem:
            raise self.problem
        return [EarlierStays(2, {"prior_encounters": 2}) for _ in patients]


@pytest.fixture
def stays(models: FakeRegistry, monkeypatch: pytest.MonkeyPatch) -> list[Stays]:
    """What the function opens to look up histories."""
    made: list[Stays] = []

    def make(*settings: object) -> Stays:
        made.append(Stays(*settings))
        return made[-1]

    monkeypatch.setattr(earlier_stays, "EarlierStaysInPostgres", make)
    variables = {"PATIENT_HISTORY": "on", "DATABASE_SECRET": "readmission/database/reader", "DATABASE_TLS": "disable"}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return made


def test_the_history_of_a_patient_is_looked_up_counted_and_its_number_not_logged(
    stays: list[Stays], capsys: pytest.CaptureFixture[str]
) -> None:
    app = load("predict")
    (source,) = stays
    assert source.settings == (DatabaseSettings("readmission/database/reader", "disable"), 0.25)
    capsys.readouterr()
    body = json.dumps({**EXAMPLE, "patient_nbr": 87654321, "encounter_id": 12345678})
    assert _send(app, "POST", "/predict", body)[1]["history"] == {
        "status": "found",
        "earlier_stays": 2,
        "stays": "before the encounter",
    }
    source.problem = DatabaseUnavailable("database 'clean': refused")
    assert _send(app, "POST", "/predict", body)[1]["history"]["status"] == "unavailable"
    written = capsys.readouterr().out
    counted = counters_in(written)
    for outcome in ("found", "unavailable"):
        assert counted[series("HistoryLookups", service="predict", outcome=outcome)] == 1
    assert "87654321" not in written and "12345678" not in written


def test_the_connection_is_opened_at_the_start_and_anew_after_a_snapstart_restore(stays: list[Stays]) -> None:
    restored = len(get_after_restore())
    load("predict")
    (source,) = stays
    assert source.opened == 1
    for hook, arguments, options in get_after_restore()[restored:]:
        hook(*arguments, **options)
    assert source.opened == 2


def test_without_the_setting_no_history_is_looked_up(stays: list[Stays], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATIENT_HISTORY", "off")
    status, answer = _send(load("predict"), "POST", "/predict", json.dumps({**EXAMPLE, "patient_nbr": 87654321}))
    assert status == 200 and "history" not in answer and stays == []


class Queue:
    """Takes messages. Raises `problem` while it is set."""

    def __init__(self, settings: PredictionLogSettings) -> None:
        self.settings = settings
        self.opened = 0
        self.problem: Exception | None = None
        self.messages: list[Message] = []

    def open(self) -> None:
        self.opened += 1

    def key_of(self, site: str, patient_nbr: int) -> str:
        return patient_key(self.settings.patient_key.key.encode(), site, patient_nbr)

    def send(self, message: Message) -> None:
        if self.problem:
            raise self.problem
        self.messages.append(message)


@pytest.fixture
def queues(models: FakeRegistry, monkeypatch: pytest.MonkeyPatch) -> list[Queue]:
    """What the function opens to log forecasts."""
    made: list[Queue] = []

    def make(settings: PredictionLogSettings) -> Queue:
        made.append(Queue(settings))
        return made[-1]

    monkeypatch.setattr(prediction_queue, "PredictionQueue", make)
    variables = {"PREDICTION_LOG": "on", "PREDICTION_QUEUE_URL": "https://sqs.example/q", "DATA_BUCKET": "bucket"}
    for name, value in (variables | {"PATIENT_KEY": "k" * 32}).items():
        monkeypatch.setenv(name, value)
    return made


def test_a_forecast_is_logged_by_its_request_id_or_counted_and_the_patients_number_is_in_neither(
    queues: list[Queue], capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    app = load("predict")
    (queue,) = queues
    capsys.readouterr()
    body = json.dumps({**EXAMPLE, "patient_nbr": 87654321, "encounter_id": 12345678})
    status, answer = _send(app, "POST", "/predict", body)
    (message,) = queue.messages
    assert (status, message["request_id"]) == (200, answer["request_id"])
    queue.problem = PredictionNotLogged("SendMessage: QueueDoesNotExist")
    assert _send(app, "POST", "/predict", body)[0] == 200
    written = capsys.readouterr().out
    assert counters_in(written)[series("PredictionsNotLogged", service="predict", reason="failed")] == 1
    (line,) = [record for record in caplog.records if "not logged" in record.getMessage()]
    assert vars(line)["forecasts"] == 1 and "QueueDoesNotExist" in line.getMessage()
    assert "87654321" not in written + caplog.text and "12345678" not in written + caplog.text
    assert "87654321" not in json.dumps(message)


def test_the_log_gets_ready_at_the_start_and_anew_after_a_snapstart_restore(queues: list[Queue]) -> None:
    restored = len(get_after_restore())
    load("predict")
    (queue,) = queues
    assert queue.opened == 1
    for hook, arguments, options in get_after_restore()[restored:]:
        hook(*arguments, **options)
    assert queue.opened == 2


def test_without_the_setting_no_forecast_is_logged(queues: list[Queue], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREDICTION_LOG", "off")
    assert _send(load("predict"), "POST", "/predict", json.dumps(EXAMPLE))[0] == 200
    assert queues == []
