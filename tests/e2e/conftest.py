"""The deployed application, operated as its users do: executions, HTTPS through the gateway, MLflow's client."""

import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import Any

import boto3
import pytest
from readmission.client import Client

from infra.local import stack
from infra.local.commands import pipeline, predict
from infra.local.settings import Settings
from infra.local.stack import Stack
from tests.platforms import Platform

SYNTHETIC = "synthetic:rows=6000,seed=4"
OPERATIONS = Path(__file__).with_name("operations")
LAST = "test_chaos.py"
# On a busy machine, a history may take longer than the 0.25 s that a request waits by default.
PARAMETERS = ("PredictionLog=on", "IncomingObjects=on", "PatientHistory=on", "PatientHistorySeconds=10")
"""What is off by default, and has tests here."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """In one process with the others, those of `operations` come behind: they share what was trained, and break it."""
    items.sort(key=lambda item: (OPERATIONS in item.path.parents, item.path.name == LAST))


@dataclass(frozen=True)
class Response:
    status: int
    headers: Message  # names in any case
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)


@dataclass
class Application:
    platform: Platform
    stack: Stack

    @property
    def settings(self) -> Settings:
        return self.platform.settings

    def run(self, **request: Any) -> dict[str, Any]:
        """An execution's output; LocalError with the failed step, error and message when it fails."""
        return pipeline.run(self.settings, self.stack, request)

    def put_source(self, name: str, content: bytes) -> str:
        s3 = boto3.client("s3")
        s3.put_object(Bucket=self.stack.data_bucket, Key=f"sources/{name}", Body=content)
        s3.close()
        return f"s3://{self.stack.data_bucket}/sources/{name}"

    def manifest(self, output: dict[str, Any]) -> Any:
        """What the execution with this output read from its source, and in which batches."""
        s3 = boto3.client("s3")
        with s3.get_object(Bucket=self.stack.data_bucket, Key=output["manifest"])["Body"] as body:
            content = body.read()
        s3.close()
        return json.loads(content)

    def call(self, path: str, body: Any = None, *, method: str = "", key: str | None = "", **headers: str) -> Response:
        """One request to the gateway, its certificate verified; `body` is sent as JSON unless it is bytes."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.stack.api_url}{path}", data, method=method or None)
        for name, value in (({"Content-Type": "application/json"} if data else {}) | headers).items():
            request.add_header(name, value)
        if key is not None:
            request.add_header("x-api-key", key or self.stack.api_key)
        context = ssl.create_default_context(cafile=str(self.settings.certificate))
        try:
            with urllib.request.urlopen(request, timeout=60, context=context) as answer:
                return Response(answer.status, answer.headers, answer.read().decode())
        except urllib.error.HTTPError as error:
            with error:
                return Response(error.code, error.headers, error.read().decode())

    @property
    def client(self) -> Client:
        return predict.client(self.settings, self.stack, timeout=60, retries=0)

    def predict(self) -> Response:
        return self.call("/predict", predict.SAMPLE)

    def count(self, database: str, what: str) -> int:
        ((rows,),) = self.platform.query(database, f"SELECT count(*) FROM {what}")
        return int(rows)


@pytest.fixture(scope="session")
def application(system: Platform) -> Iterator[Application]:
    """Deployed, with empty databases; whatever other tests have trained has other names."""
    system.run("deploy", "--parameters", " ".join(PARAMETERS))
    system.empty_databases()
    yield Application(system, stack.get(system.settings))


@dataclass(frozen=True)
class Trained:
    """What the first whole execution gave, and what the API said before it."""

    source: str
    rows: int
    output: dict[str, Any]
    before: Response


@pytest.fixture(scope="session")
def trained(application: Application, diabetes_data: Path | None) -> Trained:
    """One whole execution, on the real data where it is there."""
    before = application.predict()
    if diabetes_data:
        source, rows = application.put_source(diabetes_data.name, diabetes_data.read_bytes()), 101_766
    else:
        source, rows = SYNTHETIC, 6_000
    return Trained(source, rows, application.run(source=source), before)
