"""`make pipeline`: starts the state machine and shows its progress: states, finished batches and times."""

import http.client
import json
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError
from readmission.pipeline import executions
from readmission.pipeline.executions import Execution, State
from readmission.registry import names

from infra.local import aws, expected
from infra.local.errors import LocalError
from infra.local.lifecycle import parameters
from infra.local.servers import supervision
from infra.local.settings import Settings
from infra.local.stack import NAME, Stack
from infra.local.terminal import CLEARED, fitting, table

POLL_SECONDS = 0.5
LIMIT_SECONDS = 3 * 3600
TRAINING = "Train models"
"""The state whose line shows how far the models are."""
INTERRUPTED = "PlatformStopped"
"""The error of an execution that was running when LocalStack stopped."""
METRICS = {
    "test_auc_early": "AUC <30 days",
    "test_auc_any": "AUC any",
    "test_auc_macro_ovr": "AUC 3 classes",
    "test_log_loss": "log loss",
    "test_accuracy": "accuracy",
    "test_f1_macro": "macro F1",
}


SHORTFALLS = {
    "family": "The training of {family} failed; the run went on without it",
    "plots": "The plots of {family} failed; the model was compared all the same",
    "card": "The model card failed; the decision stands",
}


def run(settings: Settings, stack: Stack, request: dict[str, Any], *, silent: bool = False) -> dict[str, Any]:
    """Runs one execution and returns its output. `silent` prints nothing, unless something failed.

    Raises LocalError with the failed step and its error, if LocalStack stops meanwhile, or if the execution takes
    longer than three hours.
    """
    client = aws.client(settings, "stepfunctions")
    arn = executions.start(client, stack.pipeline_arn, request)
    if not silent:
        print(f"pipeline    execution {_name(arn)}, input {json.dumps(executions.shown(request))}", flush=True)
    progress = Progress(live=sys.stdout.isatty(), silent=silent, rounds=Rounds(settings, _name(arn)))
    for _ in _looks(LIMIT_SECONDS):
        if not (execution := _look(settings, client, arn, progress)):
            continue
        if execution.status != executions.RUNNING:
            return _outcome(settings, arn, execution)
    raise LocalError(
        f"The execution is still running after {LIMIT_SECONDS} s and continues without this command: {arn}"
    )


def resumed(settings: Settings, stack: Stack, name: str) -> dict[str, Any]:
    """The request that takes up an execution again. Raises LocalError if there is none of that name, or if it has not
    ended, or has succeeded."""
    client = aws.client(settings, "stepfunctions")
    arn = f"{stack.pipeline_arn.replace(':stateMachine:', ':execution:')}:{name}"
    try:
        execution = executions.describe(client, arn)
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("ExecutionDoesNotExist", "InvalidArn"):
            raise
        raise LocalError(f"RESUME: there is no execution {name}. The pipeline page lists them: make ui") from error
    if execution.error is None:
        state = "is still running" if execution.status == executions.RUNNING else "has succeeded"
        raise LocalError(f"RESUME: the execution {name} {state}.")
    return executions.resumed(execution, executions.states(client, arn))


def _look(settings: Settings, client: Any, arn: str, progress: "Progress") -> Execution | None:
    """The execution now; None if LocalStack runs but did not answer. Raises LocalError if LocalStack has stopped."""
    try:
        execution = executions.describe(client, arn)
        progress.show(executions.states(client, arn))
    except Exception as error:
        forgotten = isinstance(error, ClientError) and error.response["Error"]["Code"] == "ExecutionDoesNotExist"
        if not (forgotten or expected.is_gone(error)):
            raise
        if forgotten or not supervision.runs(settings, "localstack"):
            raise LocalError(_stopped(arn)) from error
        return None
    return execution


def _stopped(arn: str) -> str:
    return (
        f"LocalStack stopped while the execution was running. What its steps had finished is kept.\n"
        f"To take it up again: make up, then make pipeline RESUME={_name(arn)}"
    )


def _name(arn: str) -> str:
    return arn.rpartition(":")[2]


def _looks(limit: float) -> Iterator[None]:
    """Less often the longer it takes, at least every two seconds: each look is answered with the whole history."""
    began = time.monotonic()
    while (passed := time.monotonic() - began) < limit:
        yield
        time.sleep(POLL_SECONDS * min(4, max(1, passed / 10)))


def _outcome(settings: Settings, arn: str, execution: Execution) -> dict[str, Any]:
    if execution.error is None:
        for one in execution.shortfalls:
            what = SHORTFALLS[one.what].format(family=one.family)
            print(f"            {what}: {one.error}: {one.message}", flush=True)
        output: dict[str, Any] = execution.output
        return output
    # While LocalStack stops, it ends functions, and so executions, in ways that say nothing about the pipeline.
    if execution.error == INTERRUPTED or _is_stopping(settings):
        raise LocalError(_stopped(arn))
    raise LocalError(
        f"The pipeline failed in step {execution.step or '?'}: {execution.error}: {execution.message}\n"
        f"To see its logs: make logs FUNCTION=all SINCE=60 ONCE=1 CORRELATION={_name(arn)}\n"
        f"Once the cause is fixed, to take it up again: make pipeline RESUME={_name(arn)}"
    )


def _is_stopping(settings: Settings) -> bool:
    try:
        return supervision.states(settings)["localstack"].name == "STOPPING"
    except supervision.NotRunning:
        return True


class Rounds:
    """How far the models are that an execution trains, as their runs in MLflow tell it."""

    SECONDS = 2.0
    """Between two looks."""

    def __init__(self, settings: Settings, execution: str) -> None:
        self._settings = settings
        self._experiment = parameters.kept(settings).get("ModelName", NAME)
        self._execution = execution
        self._looked = float("-inf")
        self._found = ""

    def __call__(self) -> str:
        """Empty if nothing is known, also if MLflow does not answer: then, the training itself says so."""
        if time.monotonic() - self._looked >= self.SECONDS:
            self._looked = time.monotonic()
            with suppress(OSError, http.client.HTTPException):
                self._found = ", ".join(self._look())
        return self._found

    def _look(self) -> list[str]:
        named = urllib.parse.urlencode({"experiment_name": self._experiment})
        experiment = _mlflow(self._settings, f"experiments/get-by-name?{named}", seconds=5)
        wanted = {
            "experiment_ids": [experiment["experiment"]["experiment_id"]],
            "filter": f"attributes.status = 'RUNNING' AND tags.{names.PIPELINE_RUN} = '{self._execution}'",
        }
        runs = _mlflow(self._settings, "runs/search", wanted, seconds=5).get("runs", [])
        tags = [{tag["key"]: tag["value"] for tag in run["data"]["tags"]} for run in runs]
        return sorted(f"{one[names.FAMILY]} {one[names.PROGRESS]}" for one in tags if names.PROGRESS in one)


class Progress:
    """Prints one line per state: updated in place on a terminal, otherwise printed when the state ends."""

    def __init__(self, live: bool, *, silent: bool = False, rounds: Callable[[], str] = str) -> None:
        self.live = live
        self.silent = silent
        self.rounds = rounds
        self.ended: set[str] = set()

    def show(self, states: Iterable[State]) -> None:
        for state in () if self.silent else states:
            if state.exited and state.name not in self.ended:
                self.ended.add(state.name)
                print(f"{self._clear()}{line(state)}", flush=True)
            elif self.live and not state.exited:
                rounds = self.rounds() if state.name == TRAINING else ""
                print(f"{CLEARED}{fitting(f'{line(state)} {rounds}'.rstrip())}", end="", flush=True)

    def _clear(self) -> str:
        return CLEARED if self.live else ""


def line(state: State) -> str:
    """With the seconds that the state took, or for one that has not ended, has been taking."""
    done = f"{state.done}/{state.of}" if state.of is not None else ""
    facts = ", ".join(f"{count:,} {what}" for what, count in state.facts.items())
    taken = state.seconds(datetime.now(UTC))
    seconds = f"({taken:.1f} s)" if state.exited else f"… {taken:.0f} s"
    return (
        "            " + " ".join(part for part in (f"{state.name:<16}", f"{done:<7}", facts, seconds) if part).rstrip()
    )


def show_models(settings: Settings, output: dict[str, Any]) -> None:
    """Prints the test metrics of the models that the execution trained or found, and the promotion decision."""
    if output.get("skipped"):
        print(f"\nNothing was done: {output['skipped']}.")
        return
    if output["data_kind"] == "synthetic":
        print("\nTrained on SYNTHETIC data: these figures say nothing about patients.")
    if candidates := [one for one in output.get("candidates", []) if "mlflow_run_id" in one]:
        rows = [("MODEL", *METRICS.values())]
        for candidate in candidates:
            found = _metrics(settings, candidate["mlflow_run_id"])
            rows.append((candidate["model"], *(f"{found[metric]:.4f}" for metric in METRICS)))
        print(f"\nOn the test patients (<30 days: readmitted within 30 days; any: at any time):\n{table(rows)}")
    if promotion := output.get("promotion"):
        print(f"\n{promotion['decision'].capitalize()}: {promotion['reason']}.")
    if instead := _instead(output):
        print(f"\n{instead}\nTo train all the same: make pipeline FORCE=1")


def _instead(output: dict[str, Any]) -> str:
    """What the execution did in place of training; empty if it trained, or ended before."""
    earlier = output.get("earlier") or {}
    match earlier.get("outcome"):
        case "decided":
            what = f"The decision is that of the execution {earlier['execution']}"
        case "trained":
            what = "Nothing was trained again"
        case _:
            return ""
    return f"Data, code and settings are those of models that exist. {what}."


def _metrics(settings: Settings, run_id: str) -> dict[str, float]:
    try:
        run = _mlflow(settings, f"runs/get?{urllib.parse.urlencode({'run_id': run_id})}")["run"]
    except (OSError, http.client.HTTPException) as error:
        raise LocalError(
            f"The execution succeeded, but its metrics cannot be read from MLflow ({error}). "
            "To start what is down: make up. To see them: make ui"
        ) from error
    return {metric["key"]: metric["value"] for metric in run["data"]["metrics"]}


def _mlflow(settings: Settings, what: str, body: dict[str, Any] | None = None, seconds: float = 30) -> dict[str, Any]:
    """What MLflow's API answers, within so many seconds. Raises OSError or HTTPException if it does not."""
    content = json.dumps(body).encode() if body else None
    url = f"{settings.mlflow_url}/api/2.0/mlflow/{what}"
    request = urllib.request.Request(url, content, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=seconds) as answer:
        found: dict[str, Any] = json.load(answer)
    return found
