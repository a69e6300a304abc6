"""`make pipeline`: what it says when LocalStack stops, and how an execution is taken up again."""

import json
import re
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from readmission.pipeline import executions

from infra.local import aws, settings
from infra.local.commands import pipeline
from infra.local.errors import LocalError
from infra.local.servers import supervision
from infra.local.servers.supervision import State
from infra.local.stack import Stack
from tests.unit.ui.fakes import EXECUTION, PIPELINE, StepFunctions, entered, left

STACK = Stack("id", "key", "https://localhost:1/v1", "token", PIPELINE, "bucket", {})
GONE = EndpointConnectionError(endpoint_url="http://127.0.0.1:4566/")
UNKNOWN = ClientError({"Error": {"Code": "ExecutionDoesNotExist", "Message": ""}}, "DescribeExecution")
WAY_ON = "make up, then make pipeline RESUME=first"


class Interrupted(StepFunctions):
    """Starts an execution, and answers the first looks at it with these errors or descriptions."""

    def __init__(self, *answers: Exception | dict[str, Any]) -> None:
        super().__init__()
        self.answers = list(answers)

    def describe_execution(self, executionArn: str) -> dict[str, Any]:
        if self.answers:
            answer = self.answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return super().describe_execution(executionArn) | answer
        return super().describe_execution(executionArn)


def _run(
    monkeypatch: pytest.MonkeyPatch, folder: Path, client: StepFunctions, localstack: str = "RUNNING"
) -> dict[str, Any]:
    monkeypatch.setattr(aws, "client", lambda settings, service: client)
    monkeypatch.setattr(pipeline, "POLL_SECONDS", 0)
    monkeypatch.setattr(supervision, "is_running", lambda settings: localstack != "EXITED")
    monkeypatch.setattr(supervision, "states", lambda settings: {"localstack": State(localstack, 1, 0, 0)})
    return pipeline.run(settings.load({"LOCAL_DIR": str(folder)}), STACK, {})


@pytest.mark.parametrize(
    ("client", "localstack"),
    [
        (Interrupted(GONE), "EXITED"),  # killed
        (Interrupted(UNKNOWN), "RUNNING"),  # killed, and replaced by a new one
        (Interrupted({"status": "ABORTED", "error": "PlatformStopped", "cause": "x"}), "RUNNING"),
        (Interrupted({"status": "FAILED", "error": "Lambda.Unknown", "cause": "x"}), "STOPPING"),
    ],
)
def test_a_localstack_that_stops_meanwhile_is_said_with_the_way_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, client: StepFunctions, localstack: str
) -> None:
    with pytest.raises(LocalError, match=f"LocalStack stopped while the execution was running(.|\n)*{WAY_ON}"):
        _run(monkeypatch, tmp_path, client, localstack)


def test_an_answer_that_does_not_come_is_asked_for_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert _run(monkeypatch, tmp_path, Interrupted(GONE, GONE)) == {}


def test_other_errors_of_step_functions_are_not_hidden(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    denied = ClientError({"Error": {"Code": "AccessDenied", "Message": ""}}, "DescribeExecution")
    with pytest.raises(ClientError):
        _run(monkeypatch, tmp_path, Interrupted(denied))


def _resumed(monkeypatch: pytest.MonkeyPatch, folder: Path, client: StepFunctions, name: str) -> dict[str, Any]:
    monkeypatch.setattr(aws, "client", lambda settings, service: client)
    return pipeline.resumed(settings.load({"LOCAL_DIR": str(folder)}), STACK, name)


def test_an_execution_is_taken_up_with_its_input_at_the_state_it_reached(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    client = StepFunctions()
    events = [entered("Clean batches", 0, "Map"), left("Clean batches", 1, "Map"), entered("Train models", 2, "Map")]
    request = {"source": "s3://b/k", "models": ["random_forest"]}
    client.add(EXECUTION, "ABORTED", events, input=json.dumps(request), error="PlatformStopped")
    assert _resumed(monkeypatch, tmp_path, client, "first") == request | {"start_at": "train"}


@pytest.mark.parametrize(
    ("name", "said"),
    [("other", "there is no execution other"), ("done", "has succeeded"), ("busy", "is still running")],
)
def test_only_an_execution_that_ended_without_success_is_taken_up(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, said: str
) -> None:
    client = StepFunctions()
    client.add(EXECUTION.replace("first", "done"), "SUCCEEDED", [], output="{}")
    client.add(EXECUTION.replace("first", "busy"), "RUNNING", [])
    if name == "other":
        client = Interrupted(UNKNOWN)
    with pytest.raises(LocalError, match=said):
        _resumed(monkeypatch, tmp_path, client, name)


def test_what_a_run_went_on_without_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    failure = {"Error": "States.Timeout", "Cause": "it took too long"}
    output = {"candidates": [{"model": "random_forest", "failure": failure}], "card_failure": failure}
    client = Interrupted({"status": "SUCCEEDED", "output": json.dumps(output)})
    assert _run(monkeypatch, tmp_path, client) == output
    said = capsys.readouterr().out
    assert "The training of random_forest failed; the run went on without it: StepTimedOut: it took too long" in said
    assert "The model card failed; the decision stands: StepTimedOut: it took too long" in said


FOUND = {"outcome": "decided", "execution": "first"}


@pytest.mark.parametrize(
    ("output", "says"),
    [
        ({"skipped": "too soon"}, "Nothing was done: too soon."),
        (
            {"data_kind": "real", "earlier": FOUND},
            "The decision is that of the execution first.\nTo train all the same",
        ),
        ({"data_kind": "real", "earlier": {"outcome": "trained"}}, "Nothing was trained again.\nTo train all the same"),
    ],
)
def test_a_run_that_trained_nothing_says_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], output: dict[str, Any], says: str
) -> None:
    pipeline.show_models(settings.load({"LOCAL_DIR": str(tmp_path)}), output)
    assert says in capsys.readouterr().out


def test_a_run_that_trained_says_nothing_of_earlier_ones(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = {"data_kind": "real", "earlier": {"outcome": "train"}}
    pipeline.show_models(settings.load({"LOCAL_DIR": str(tmp_path)}), output)
    assert capsys.readouterr().out == ""


def test_a_state_says_how_long_it_took_or_has_been_taking() -> None:
    began = datetime.now(UTC) - timedelta(seconds=90)
    training = executions.State("Train models", began, of=3, done=1)
    assert re.fullmatch(r" +Train models +1/3 +… 9\d s", pipeline.line(training))
    training.exited = began + timedelta(seconds=30)
    assert re.fullmatch(r" +Train models +1/3 +\(30\.0 s\)", pipeline.line(training))


class Mlflow(BaseHTTPRequestHandler):
    """Knows the runs of one execution, of which one says how far it is."""

    asked: ClassVar[list[Any]] = []

    def do_GET(self) -> None:
        assert self.path == "/api/2.0/mlflow/experiments/get-by-name?experiment_name=readmission"
        self._answer({"experiment": {"experiment_id": "7"}})

    def do_POST(self) -> None:
        self.asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        boosting = {"family": "gradient_boosting", "progress": "212 of at most 400 rounds"}
        runs = [boosting, {"family": "random_forest"}]
        self._answer({"runs": [{"data": {"tags": [{"key": k, "value": v} for k, v in run.items()]}} for run in runs]})

    def _answer(self, document: dict[str, Any]) -> None:
        content = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def mlflow(tmp_path: Path) -> Iterator[settings.Settings]:
    server = HTTPServer(("127.0.0.1", 0), Mlflow)
    threading.Thread(target=server.serve_forever, args=(0.01,)).start()
    yield settings.load({"LOCAL_DIR": str(tmp_path), "MLFLOW_PORT": str(server.server_port)})
    server.shutdown()
    server.server_close()


def test_on_a_terminal_the_training_says_its_rounds(
    mlflow: settings.Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    shown = pipeline.Progress(live=True, rounds=pipeline.Rounds(mlflow, "first"))
    for _ in range(2):  # MLflow is not asked each time
        shown.show([executions.State("Train models", datetime.now(UTC), of=3)])
    assert capsys.readouterr().out.count("… 0 s gradient_boosting 212 of at most 400 rounds") == 2
    running = "attributes.status = 'RUNNING' AND tags.pipeline_run = 'first'"
    assert Mlflow.asked == [{"experiment_ids": ["7"], "filter": running}]


def test_a_training_whose_rounds_are_not_known_is_shown_all_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    unreachable = settings.load({"LOCAL_DIR": str(tmp_path), "MLFLOW_PORT": "9"})
    shown = pipeline.Progress(live=True, rounds=pipeline.Rounds(unreachable, "first"))
    shown.show([executions.State("Train models", datetime.now(UTC), of=3)])
    assert capsys.readouterr().out.endswith("… 0 s")
