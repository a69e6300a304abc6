"""`make load-test` and the locustfile against a server of its own, which whose answers the test controls."""

import csv
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any
from urllib.parse import urlsplit

import pytest
from readmission.serving.ehr import FHIR, SERVICE

from infra.local.settings import ROOT
from tests.load.mix import BATCH_ROWS

_SLOW_SECONDS = 2.0
_FAST_FOR_SECONDS = 1.3
# What the load's requests look for in an answer, by path.
_ANSWERS: dict[str, tuple[int, Any]] = {
    "/health": (200, {"model_version": "1"}),
    "/jobs/load-test": (404, {"detail": "there is no such job"}),
    "/predict": (200, {"early_risk": {}}),
    "/predict/batch": (200, {"predictions": [{"index": BATCH_ROWS - 1, "x": 0}]}),
    FHIR: (200, {"resourceType": "RiskAssessment"}),
    SERVICE: (200, {"cards": [{"summary": "Readmission within 30 days"}]}),
}


class Api:
    """Answers at once for a while from the first request on, then slowly."""

    def __init__(self) -> None:
        self.asked: list[float] = []
        self.closing = Event()
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._answer(*_ANSWERS[self.path])

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                path = urlsplit(self.path).path
                missing = path == "/predict" and api.missing(body)
                self._answer(*((422, missing) if missing else _ANSWERS[path]))

            def _answer(self, status: int, document: Any) -> None:
                api.asked.append(time.monotonic())
                if api.asked[-1] > api.asked[0] + _FAST_FOR_SECONDS:
                    api.closing.wait(_SLOW_SECONDS)
                content = json.dumps(document, separators=(",", ":")).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    @staticmethod
    def missing(fields: dict[str, Any]) -> list[str]:
        from readmission.domain.features import FEATURES

        return [] if "encounter_id" in fields else [name for name in FEATURES if name not in fields]


@pytest.fixture
def api() -> Iterator[Api]:
    api = Api()
    Thread(target=api.server.serve_forever, daemon=True).start()
    yield api
    api.closing.set()
    api.server.shutdown()
    api.server.server_close()


def environment(**more: str) -> dict[str, str]:
    known = {name: value for name, value in os.environ.items() if not name.startswith(("API_", "LOCUST_"))}
    return known | more


def test_an_answer_that_comes_after_the_hold_it_was_asked_for_in_counts(api: Api, tmp_path: Path) -> None:
    users = ["--max-users", "2", "--step", "2", "--think", "0.05"]
    times = ["--settle", "0.5", "--hold", "1.5", "--repeats", "1", "--p95-ms", "100000"]
    finished = subprocess.run(
        [sys.executable, "-m", "tests.load", "--url", api.url, *users, *times, "--out", str(tmp_path)],
        cwd=ROOT,
        env=environment(API_KEY="key"),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    with (tmp_path / "load.csv").open() as file:
        first, *_ = csv.DictReader(file)
    # Each of both users' last request of this time, and many fast ones before.
    assert float(first["p99"]) >= _SLOW_SECONDS * 1000
    assert float(first["p50"]) < 1000
    assert first["failures"] == "0"


def test_locusts_own_variable_loads_no_machine(api: Api, tmp_path: Path) -> None:
    locust = str(Path(sys.executable).with_name("locust"))
    finished = subprocess.run(
        [locust, "-f", "tests/load/locustfile.py", "--headless", "-u", "2", "-r", "2", "-t", "2s"],
        cwd=ROOT,
        env=environment(LOCUST_HOST=api.url, API_URL="https://api.example.org/v1", API_KEY="key"),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert api.asked == []
    assert "API_URL is https://api.example.org/v1, another machine" in finished.stderr
    assert finished.returncode == 1
