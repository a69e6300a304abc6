"""The log bytes of the capacity model are those that the function writes."""

import asyncio
import io
import json
from collections.abc import Iterator

import pytest
from readmission.registry import production
from readmission.serving.schemas import EXAMPLE

from tests.benchmarks import log_lines
from tests.unit.functions.lambdas import Context, load
from tests.unit.readmission.documents import constant
from tests.unit.readmission.serving.fakes import FakeRegistry

GATEWAY_ID = "c6af9ac6-7b61-11e6-9a41-93e8deadbeef"
CONTEXT = Context(
    function_name="readmission-predict",
    invoked_function_arn="arn:aws:lambda:us-east-1:123456789012:function:readmission-predict:live",
    aws_request_id="8f507cfc-9c5b-4f0e-8e0a-3f1d7c1f6a52",
)
EVENT = {
    "resource": "/{proxy+}",
    "path": "/predict",
    "httpMethod": "POST",
    "headers": {"Content-Type": "application/json"},
    "multiValueHeaders": {"Content-Type": ["application/json"]},
    "queryStringParameters": None,
    "multiValueQueryStringParameters": None,
    "pathParameters": {"proxy": "predict"},
    "requestContext": {"requestId": GATEWAY_ID, "identity": {"sourceIp": "203.0.113.7"}},
    "body": json.dumps(EXAMPLE),
    "isBase64Encoded": False,
}


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[tuple[str, str]]:
    """The metrics and the log of one warm prediction, as on AWS."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    registry = FakeRegistry()
    registry.promote("12", constant(0.1, 0.2, 0.7))
    monkeypatch.setattr(production, "MlflowRegistry", lambda settings: registry)
    for name, value in {
        "MLFLOW_TRACKING_URI": "http://mlflow.example",
        "MODEL_NAME": "readmission",
        "_X_AMZN_TRACE_ID": "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1",
    }.items():
        monkeypatch.setenv(name, value)
    app = load("predict")
    app.handler(EVENT, CONTEXT)
    log = io.StringIO()
    monkeypatch.setattr(app.logger.registered_handler, "stream", log)
    capsys.readouterr()
    assert app.handler(EVENT, CONTEXT)["statusCode"] == 200
    yield capsys.readouterr().out, log.getvalue()
    asyncio.set_event_loop(None)
    loop.close()


def test_a_prediction_writes_as_many_bytes_as_the_model_says(written: tuple[str, str]) -> None:
    """Durations and buckets have more digits at times."""
    metrics, log = (len(text.encode()) for text in written)
    assert metrics == pytest.approx(log_lines.EMF_BYTES, rel=0.01)
    assert log == pytest.approx(log_lines.ACCESS_LINE_BYTES, rel=0.02)


def test_the_gateways_line_is_counted_by_the_templates_format() -> None:
    def template(**setting: str) -> dict[str, object]:
        return {"Resources": {"Api": {"Properties": {"AccessLogSetting": setting} if setting else {}}}}

    assert log_lines.gateway_bytes(template()) == 0
    form = '{"id": "$context.requestId", "status": $context.status, "ip": "$context.identity.sourceIp"}'
    assert log_lines.gateway_bytes(template(Format=form)) == len(
        '{"id": "8f507cfc-9c5b-4f0e-8e0a-3f1d7c1f6a52", "status": 200, "ip": "203.000.113.007"}\n'
    )


def test_every_writer_is_counted() -> None:
    counted = log_lines.by_writer({"Resources": {"Api": {"Properties": {}}}})
    assert counted["Lambda's START, END and REPORT"] == sum(map(len, log_lines.PLATFORM_LINES)) > 300
    assert len(counted) == 4
