"""The API as a process: its metrics, who is let in, and how it leaves."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from readmission.serving.schemas import EXAMPLE

from tests.integration.readmission.serving.processes import Api, registry, running

KEY, OTHER = "0123456789-0123456789", "abcdefghij-abcdefghij"
SHARES = (0.1, 0.2, 0.7)


@pytest.fixture(scope="module")
def mlflow() -> Iterator[str]:
    with registry(*SHARES) as url:
        yield url


# ---------------------------------------------------------------- metrics
def test_the_metrics_of_several_workers_add_up(mlflow: str, tmp_path: Path) -> None:
    with running(mlflow, tmp_path, WEB_CONCURRENCY="2") as api:
        # Each on a connection of its own, so that both workers get some.
        assert {api.predict() for _ in range(60)} == {200}
        assert api.ask("POST", "/predict", {})[0] == 422
        labels = {"service": "predict", "route": "/predict"}
        assert api.series("readmission_requests_total", status="200", **labels) == [60]
        assert api.series("readmission_requests_total", status="422", **labels) == [1]
        assert api.series("readmission_request_duration_seconds_count", **labels) == [61]
        assert api.series("readmission_request_duration_seconds_bucket", le="+Inf", **labels) == [61]
        assert api.series("readmission_scorer_duration_seconds_count", service="predict") == [60]
        assert api.series("readmission_predictions_total", model_version="1", readmitted="NO") == [60]
        # The second worker may still be starting: the first could answer everything.
        deadline = time.monotonic() + 60
        while api.series("readmission_model_reloads_total", outcome="loaded") != [2]:
            assert time.monotonic() < deadline
            time.sleep(0.2)
    assert "Traceback" not in api.output()


def test_the_metrics_are_not_on_the_port_of_the_api(mlflow: str, tmp_path: Path) -> None:
    with running(mlflow, tmp_path) as api:
        assert api.predict() == 200
        assert api.ask("GET", "/metrics")[0] == 404
        assert api.series("readmission_predictions_total", readmitted="NO") == [1]
        assert api.series("readmission_requests_total", route="other", status="404") == [1]  # and no probes


def test_a_port_that_is_taken_is_named(mlflow: str, tmp_path: Path) -> None:
    with running(mlflow, tmp_path) as api:
        second = run(MLFLOW_TRACKING_URI=mlflow, PORT="1", METRICS_PORT=str(api.metrics_port))
    assert second.returncode != 0 and f"METRICS_PORT {api.metrics_port}" in second.stderr


def run(**variables: str) -> subprocess.CompletedProcess[str]:
    own = {"MODEL_NAME": "readmission", "HOST": "127.0.0.1", **variables}
    command = [sys.executable, "-m", "readmission.serving"]
    return subprocess.run(command, env={**os.environ, **own}, capture_output=True, text=True, timeout=60, check=False)


# ---------------------------------------------------------------- who is let in
def test_a_key_lets_in_and_a_changed_file_is_followed(mlflow: str, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text(f"# the ward\n{KEY}\n")
    with running(mlflow, tmp_path, API_KEYS_FILE=str(keys)) as api:
        assert (api.predict(), api.predict(x_api_key=OTHER), api.predict(x_api_key=KEY)) == (403, 403, 200)
        assert api.ask("GET", "/health")[0] == 200
        # As a mounted secret changes: another file under the same name.
        (tmp_path / "new").write_text(OTHER)
        (tmp_path / "new").rename(keys)
        deadline = time.monotonic() + 30
        while api.predict(x_api_key=OTHER) != 200:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert api.predict(x_api_key=KEY) == 403


# ---------------------------------------------------------------- life and end
def test_without_a_registry_it_is_alive_and_not_ready(tmp_path: Path) -> None:
    with running("http://127.0.0.1:9", tmp_path) as api:
        assert api.ask("GET", "/live") == (200, {"status": "alive"})
        assert api.ask("GET", "/health")[0] == 503


@pytest.mark.parametrize("workers", ["1", "2"])
def test_after_sigterm_it_is_not_ready_and_answers_until_it_has_drained(
    mlflow: str, tmp_path: Path, workers: str
) -> None:
    with running(mlflow, tmp_path, DRAIN_SECONDS="3", WEB_CONCURRENCY=workers) as api:
        api.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + 3
        while api.ask("GET", "/health")[0] == 200:
            assert time.monotonic() < deadline
        status, problem = api.ask("GET", "/health")
        assert status == 503 and "shutting down" in problem["detail"]
        assert api.predict() == 200
        assert api.ask("GET", "/live")[0] == 200
        api.process.wait(30)
    assert "Traceback" not in api.output()


def test_a_request_in_flight_is_answered_and_its_connection_closed(mlflow: str, tmp_path: Path) -> None:
    with running(mlflow, tmp_path) as api:
        body = json.dumps(EXAMPLE).encode()
        connection = api.connect()
        connection.putrequest("POST", "/predict")
        connection.putheader("Content-Type", "application/json")
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body[:10])
        until_it_is_received(api)
        api.process.send_signal(signal.SIGTERM)
        refused(api)
        connection.send(body[10:])
        answer = connection.getresponse()
        assert (answer.status, answer.getheader("connection")) == (200, "close")
        assert json.load(answer)["readmitted"] == "NO"
        connection.close()
        api.process.wait(30)


def until_it_is_received(api: Api) -> None:
    """The server reads connections in turn: when it has answered a later one, it has read the earlier one."""
    assert api.ask("GET", "/live")[0] == 200


def refused(api: Api) -> None:
    """Waits until no new connection is accepted."""
    deadline = time.monotonic() + 30
    while True:
        try:
            api.ask("GET", "/live")
        except OSError:
            return
        assert time.monotonic() < deadline
        time.sleep(0.05)
