"""`python -m readmission.serving` as a process, with a registry of one model on this machine."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families
from readmission.serving.schemas import EXAMPLE

from tests.benchmarks import server
from tests.leash import die_with_parent
from tests.platforms import free_ports
from tests.unit.readmission.documents import constant

START_SECONDS = 60


@dataclass
class Api:
    process: subprocess.Popen[bytes]
    port: int
    metrics_port: int
    log: Path

    def connect(self, port: int | None = None) -> HTTPConnection:
        return HTTPConnection("127.0.0.1", port or self.port, timeout=30)

    def ask(self, method: str, path: str, document: Any = None, **headers: str) -> tuple[int, dict[str, Any]]:
        """Status and answer, on a connection of its own."""
        connection = self.connect()
        try:
            body = None if document is None else json.dumps(document)
            sent = {"Content-Type": "application/json"} if body else {}
            connection.request(method, path, body, sent | {name.replace("_", "-"): v for name, v in headers.items()})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read() or b"{}")
        finally:
            connection.close()

    def predict(self, **headers: str) -> int:
        return self.ask("POST", "/predict", EXAMPLE, **headers)[0]

    def scrape(self) -> str:
        connection = self.connect(self.metrics_port)
        try:
            connection.request("GET", "/metrics")
            answer = connection.getresponse()
            assert answer.status == 200
            return answer.read().decode()
        finally:
            connection.close()

    def series(self, name: str, **labels: str) -> list[float]:
        """The values of the samples of that name with these labels."""
        return [
            sample.value
            for family in text_string_to_metric_families(self.scrape())
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        ]

    def output(self) -> str:
        return self.log.read_text(errors="replace")


@contextmanager
def registry(*shares: float) -> Iterator[str]:
    """The address of an MLflow server whose version in production forecasts these probabilities for everybody."""
    scorer = json.dumps(constant(*shares)).encode()
    with server.serve(server.registry(scorer, sha256(scorer).hexdigest(), "synthetic")) as url:
        yield url


@contextmanager
def running(tracking_uri: str, folder: Path, **variables: str) -> Iterator[Api]:
    """The process, once it answers its liveness probe; at the end it is killed."""
    port, metrics_port = free_ports(2)
    settings = {
        "MLFLOW_TRACKING_URI": tracking_uri,
        "MODEL_NAME": "readmission",
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "METRICS_PORT": str(metrics_port),
    }
    log = folder / f"api-{port}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "readmission.serving"],
            env={**os.environ, **settings, **variables},
            stdout=output,
            stderr=output,
            preexec_fn=die_with_parent(),
        )
    api = Api(process, port, metrics_port, log)
    try:
        eventually_alive(api)
        yield api
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def eventually_alive(api: Api) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            if api.ask("GET", "/live")[0] == 200:
                return
        except OSError:
            pass
        assert api.process.poll() is None, api.output()
        assert time.monotonic() < deadline, api.output()
        time.sleep(0.05)
