"""The platform under test, as an operator and a client reach it, and the means to break it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from readmission.pipeline import executions
from readmission.storage import access

from infra.local import aws, stack
from infra.local.commands import predict
from infra.local.errors import LocalError
from infra.local.servers import postgres, processes, ready, supervision
from infra.local.servers.processes import Process
from infra.local.settings import ROOT, Settings, as_environment
from infra.local.stack import Stack

MODEL = stack.NAME
ROWS, BATCHES = 3000, 3
_FAMILIES = ["logistic_regression"]
_ENTERED_WITHIN_SECONDS = 120.0
_POLL_SECONDS = 0.3
_CLOSE_POLL_SECONDS = 0.03
"""To meet a step that is short."""
_COMMAND_SECONDS = 600


@dataclass(frozen=True, slots=True)
class Step:
    """A step of the pipeline: its state, its function, the stage after which an execution of it may stop, and how long
    it works on chaos's few rows, roughly (s)."""

    name: str
    state: str
    function: str
    stage: str
    seconds: float


STEPS = (
    Step("plan", "Plan", "plan", "ingest", 0.5),
    Step("ingest", "Ingest", "ingest", "ingest", 0.3),
    Step("clean", "Clean", "clean", "clean", 0.4),
    Step("check", "Check data", "check", "clean", 0.1),
    Step("train", "Train", "train", "train", 4.0),
    Step("report", "Report", "report", "train", 1.5),
    Step("promote", "Promote", "promote", "promote", 2.0),
    Step("card", "Model card", "report", "promote", 0.5),
)


@dataclass(frozen=True, slots=True)
class Run:
    """An execution that chaos started. `stage` is the last one that it runs; its source has so many rows."""

    arn: str
    request: dict[str, Any]
    stage: str
    rows: int = ROWS

    @property
    def batch_rows(self) -> int:
        return self.rows // BATCHES

    @property
    def name(self) -> str:
        return self.arn.rpartition(":")[2]


@dataclass(frozen=True, slots=True)
class Ending:
    """How an execution ended; `status` is LOST if LocalStack no longer knows it."""

    status: str
    error: str = ""
    message: str = ""

    @property
    def succeeded(self) -> bool:
        return self.status == "SUCCEEDED"

    @property
    def lost(self) -> bool:
        """Whether it ended with LocalStack, rather than by itself."""
        return self.status in ("LOST", "ABORTED")


@dataclass
class System:
    settings: Settings
    stack: Stack = field(init=False)
    _sources: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.find_stack()

    def find_stack(self) -> None:
        """A new LocalStack gives the API another address. Raises LocalError if nothing is deployed."""
        self.stack = stack.get(self.settings)

    # --- executions ---

    def start(self, stage: str, source: str = "", rows: int = ROWS) -> Run:
        """An execution, by default of a source whose rows are new. A given `source` must have so many `rows`."""
        request = {"source": source or self.new_source(rows), "batch_size": rows // BATCHES, "models": _FAMILIES}
        # Run again, it is to train and decide as the first time.
        request |= {"stop_after": stage, "force": True, "by": "chaos"}
        return self.start_request(request, stage, rows)

    def start_request(self, request: dict[str, Any], stage: str = "promote", rows: int = ROWS) -> Run:
        return Run(executions.start(self.states_client, self.stack.pipeline_arn, request), request, stage, rows)

    def new_source(self, rows: int = ROWS) -> str:
        """Of synthetic rows that the platform does not have yet, whatever has been run on it."""
        self._sources += 1
        return f"synthetic:rows={rows},seed={int(time.time() * 1000) % 10**9 + self._sources}"

    def wait_for_task(self, run: Run, state: str) -> None:
        """Until the state's function is invoked. Raises LocalError if that does not come within two minutes, or the
        execution ends first."""
        for _ in _polls(_ENTERED_WITHIN_SECONDS, _CLOSE_POLL_SECONDS):
            if has_invoked(self.history(run), state):
                return
            if self.ending(run) is not None:
                break
        raise LocalError(f"execution {run.name} did not reach the state {state}")

    def history(self, run: Run) -> list[dict[str, Any]]:
        pages = self.states_client.get_paginator("get_execution_history").paginate(executionArn=run.arn)
        return [event for page in pages for event in page["events"]]

    def ending(self, run: Run) -> Ending | None:
        """None while it is running."""
        try:
            found = executions.describe(self.states_client, run.arn)
        except self.states_client.exceptions.ExecutionDoesNotExist:
            return Ending("LOST")
        except self.states_client.exceptions.StateMachineDoesNotExist:
            return Ending("LOST")
        if found.status == executions.RUNNING:
            return None
        return Ending(found.status, found.error or "", found.message or "")

    def finish(self, run: Run, seconds: float) -> Ending | None:
        """None if it is still running after so many seconds."""
        for _ in _polls(seconds):
            if ending := self.ending(run):
                return ending
        return None

    @cached_property
    def states_client(self) -> Any:
        return aws.client(self.settings, "stepfunctions")

    def put_source(self, name: str, content: bytes) -> str:
        key = f"sources/{name}"
        aws.client(self.settings, "s3").put_object(Bucket=self.stack.data_bucket, Key=key, Body=content)
        return f"s3://{self.stack.data_bucket}/{key}"

    # --- means to break it ---

    def kill_server(self, program: str) -> None:
        """`kill -9` of all processes of a server, or of supervisord ("supervisor").

        Of LocalStack only its own process: those of the functions outlive it, as they do when it crashes.
        """
        if program == "supervisor":
            os.kill(int((self.settings.run / "supervisord.pid").read_text()), signal.SIGKILL)
        elif program == "localstack":
            os.kill(supervision.states(self.settings)[program].pid, signal.SIGKILL)
        else:
            processes.kill(self.server_processes(program))

    def stop_server(self, program: str) -> None:
        """As an operator does, who knows about it: nothing restarts it."""
        if supervision.states(self.settings)[program].may_run:
            supervision.stop_program(self.settings, program)

    def server_processes(self, program: str) -> list[Process]:
        return [process for process in processes.ours(self.settings) if process.program == program]

    def kill(self, known: Sequence[Process]) -> int:
        """`kill -9` of those that still run; how many there were."""
        running = processes.still_alive(known)
        processes.kill(running)
        return len(running)

    def kill_function(self, function: str, within: float = 10.0) -> int:
        """`kill -9` of every process of the function, waiting for the first one; how many there were."""
        for _ in _polls(within, _CLOSE_POLL_SECONDS):
            if found := self.function_processes(function):
                processes.kill(found)
                return len(found)
        return 0

    def function_processes(self, function: str) -> list[Process]:
        known = processes.ours(self.settings)
        return [process for process in known if processes.function_of(process) == f"{stack.NAME}-{function}"]

    def cut_connections(self) -> int:
        """Ends every other session of the application and of MLflow in Postgres; how many there were."""
        external = self.settings.external_database
        server = postgres.database(self.settings) if external else postgres._superuser(self.settings)
        connection = postgres.connect(server, "raw")
        try:
            found = connection.run(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                " WHERE usename = ANY(CAST(:roles AS text[])) AND pid <> pg_backend_pid()",
                roles=[external.user] if external else list(access.ROLES),
            )
        finally:
            connection.close()
        return int(found[0][0])

    # --- looking ---

    def query(self, database: str, statement: str, **values: Any) -> Any:
        connection = postgres.connect(postgres.owner(self.settings, database), database)
        try:
            return connection.run(statement, **values)
        finally:
            connection.close()

    def forecast(self) -> dict[str, Any]:
        """The API's answer for the sample patient. Raises LocalError if it has none."""
        return dict(predict.predict(self.settings, self.stack, predict.SAMPLE)[0])

    def is_healthy(self) -> bool:
        """Whether every server answers, and the API with the version that is in production."""
        try:
            states = supervision.states(self.settings)
            for program in self.settings.programs:
                if program != "prometheus" and not (states[program].runs and ready.is_ready(self.settings, program)):
                    return False
            return bool(self.forecast()["model_version"] == self.production())
        except (LocalError, BotoCoreError, ClientError):
            return False

    def production(self) -> str | None:
        """The version with the alias in MLflow."""
        found = self.query(
            "mlflow",
            "SELECT version FROM registered_model_aliases WHERE name = :name AND alias = 'Production'",
            name=MODEL,
        )
        return str(found[0][0]) if found else None

    # --- what an operator does ---

    def up(self, **variables: str) -> None:
        """`make up` with these environment variables. Raises LocalError with its output if it fails."""
        self._command("up", variables)
        self.find_stack()

    def down(self) -> None:
        """`make down`. Raises LocalError with its output if it fails."""
        self._command("down", {})

    def _command(self, name: str, variables: Mapping[str, str]) -> None:
        # `down` forgets the settings with which the platform was started.
        own = as_environment(self.settings) | {"LOCAL_DIR": str(self.settings.directory)}
        finished = subprocess.run(
            [sys.executable, "-m", "infra.local", name],
            cwd=ROOT,
            env={**os.environ, **own, **variables},
            capture_output=True,
            text=True,
            timeout=_COMMAND_SECONDS,
            check=False,
        )
        if finished.returncode:
            raise LocalError(f"make {name} failed: {finished.stdout[-500:]}{finished.stderr[-500:]}")


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether it came true within so many seconds."""
    return any(condition() for _ in _polls(seconds))


def _polls(seconds: float, pause: float = _POLL_SECONDS) -> Iterator[None]:
    """Once at least."""
    deadline = time.monotonic() + seconds
    while True:
        yield
        if time.monotonic() > deadline:
            return
        time.sleep(pause)


def has_invoked(history: Sequence[dict[str, Any]], state: str) -> bool:
    """Whether the state was entered and a function invoked since."""
    names = [event.get("stateEnteredEventDetails", {}).get("name") for event in history]
    return state in names and any(event["type"] == "TaskStarted" for event in history[names.index(state) :])
