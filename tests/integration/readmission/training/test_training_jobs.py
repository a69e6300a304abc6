"""The state machine trains by jobs and promotes: the real functions and trainer, on real servers.

The functions *train*, *promote* and *report* run in this checkout's environment, each started by a small Lambda
function, so that no layer has to be built.
"""

import json
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import mlflow
import psutil
import pytest
from mlflow import MlflowClient
from readmission.pipeline import executions
from readmission.pipeline.executions import Execution

from infra.local.settings import ROOT
from statemachines import generate
from tests.integration.localstack.server import wait_for, zip_of
from tests.integration.readmission.conftest import Stores
from tests.integration.readmission.models import Models
from tests.platforms import Platform

ROLE = "arn:aws:iam::000000000000:role/machine"
# Runs the entry file of a function in another interpreter. An error keeps its name.
PROXY = """
import json, subprocess

def handler(event, context):
    done = subprocess.run(COMMAND, input=json.dumps(event), capture_output=True, text=True, cwd=ROOT, env=VARIABLES)
    print(done.stderr[-20000:])
    answer = json.loads(done.stdout.splitlines()[-1])
    if "error" in answer:
        raise type(answer["error"], (Exception,), {})(answer["message"])
    return answer["result"]
"""
RUNNER = """
import json, sys
from tests.unit.functions.lambdas import Context, load
try:
    answer = {"result": load(sys.argv[1]).handler(json.loads(sys.stdin.read()), Context())}
except Exception as error:
    answer = {"error": type(error).__name__, "message": str(error)}
print()
print(json.dumps(answer))
"""
PLAN = "def handler(event, context):\n    return event['input']\n"


class Pipeline:
    """The state machine on the platform's LocalStack, with functions of one MLflow experiment."""

    def __init__(self, system: Platform, name: str, training: dict[str, str]) -> None:
        self.system, self.name = system, name
        self.machines = system.client("stepfunctions")
        self.variables = {
            **{key: value for key, value in os.environ.items() if not key.startswith("PYTEST")},
            "MODEL_NAME": name,
            "STACK_NAME": name,
            "OMP_NUM_THREADS": "1",
            **training,
        }
        arns = {function: self._function(function) for function in ("plan", "train", "promote", "report")}
        values = {
            **{f"{function.capitalize()}FunctionArn": arn for function, arn in arns.items()},
            "TrainingImage": "trainer",
            "TrainingRoleArn": ROLE,
            "TrainingInstanceType": "ml.m5.large",
            "TrainingVolumeSize": "1",
            "TrainingMaxSeconds": "900",
            "DatabaseSecret": self.variables["DATABASE_SECRET"],
            "DatabaseTls": self.variables["DATABASE_TLS"],
            "DatabasePort": "5432",
            "DataBucket": self.variables["DATA_BUCKET"],
            "MlflowTrackingUri": self.variables["MLFLOW_TRACKING_URI"],
            "ModelName": name,
            "MaxTrainingRows": "300000",
        }
        definition = re.sub(r"\$\{(\w+)\}", lambda match: values.get(match[1], ""), generate.definition())
        # A Task without a function would be refused; none of these is reached.
        definition = definition.replace('"FunctionName": ""', f'"FunctionName": "{arns["plan"]}"')
        self.arn = self.machines.create_state_machine(name=name, definition=definition, roleArn=ROLE)["stateMachineArn"]

    def start(self, models: list[str], stop_after: str = "promote") -> str:
        fields = {"data_kind": "synthetic", "manifest": "", "batches": [], "models": models, "by": None}
        fields |= {"force": False, "started_by": "person", "skipped": None}
        return executions.start(self.machines, self.arn, {**fields, "start_at": "train", "stop_after": stop_after})

    def ended(self, execution: str) -> Execution:
        def found() -> Execution | None:
            described = executions.describe(self.machines, execution)
            return None if described.status == executions.RUNNING else described

        ended: Execution = wait_for(found, "the execution to end", seconds=400)
        return ended

    def jobs(self) -> list[psutil.Process]:
        """The processes of its training jobs."""
        found = []
        for process in psutil.process_iter(["environ", "cmdline", "status"], ad_value={}):
            of_job = (process.info["environ"] or {}).get("TRAINING_JOB_NAME", "").startswith(self.name)
            if of_job and process.info["status"] != psutil.STATUS_ZOMBIE:
                found.append(process)
        return found

    def _function(self, name: str) -> str:
        command = [sys.executable, "-c", RUNNER, name]
        proxy = f"COMMAND = {command!r}\nROOT = {str(ROOT)!r}\nVARIABLES = {self.variables!r}\n{PROXY}"
        client = self.system.client("lambda")
        found = client.create_function(
            FunctionName=f"{self.name}-{name}",
            Role=ROLE,
            Runtime="python3.13",
            Handler="app.handler",
            Timeout=300,
            MemorySize=4096,
            Code={"ZipFile": zip_of({"app.py": PLAN if name == "plan" else proxy})},
        )
        client.get_waiter("function_active_v2").wait(FunctionName=found["FunctionName"])
        arn: str = found["FunctionArn"]
        return arn


@pytest.fixture
def pipeline(system: Platform, stores: Stores, request: pytest.FixtureRequest) -> Iterator[Callable[..., Pipeline]]:
    """`pipeline(**settings of training)`: a pipeline whose clean rows are loaded."""
    name = f"jobs-{time.time_ns() % 1_000_000_000}"
    Models(stores, name, {}).load()

    def make(**training: str) -> Pipeline:
        return Pipeline(system, name, training)

    yield make
    while mlflow.active_run():
        mlflow.end_run()


def runs_of(pipeline: Pipeline) -> list[Any]:
    client = MlflowClient(pipeline.variables["MLFLOW_TRACKING_URI"])
    experiment = client.get_experiment_by_name(pipeline.name)
    return list(client.search_runs([experiment.experiment_id])) if experiment else []


@pytest.mark.parametrize(
    ("training", "model", "hosts"),
    [
        ({"TRAINING": "container"}, "logistic_regression", 1),
        ({"TRAINING": "distributed", "TRAINING_INSTANCES": "2"}, "gradient_boosting", 2),
    ],
    ids=["container", "distributed"],
)
def test_a_job_trains_and_its_model_is_promoted(
    pipeline: Callable[..., Pipeline], system: Platform, training: dict[str, str], model: str, hosts: int
) -> None:
    machine = pipeline(**training)
    found = machine.ended(machine.start([model]))
    assert (found.status, found.error, found.message) == ("SUCCEEDED", None, None)
    assert found.decision == "promoted"
    (run,) = runs_of(machine)
    assert (run.info.status, run.info.run_id) == ("FINISHED", found.output["candidates"][0]["mlflow_run_id"])
    client = system.client("sagemaker")
    (summary,) = client.list_training_jobs(NameContains=machine.name)["TrainingJobSummaries"]
    job = client.describe_training_job(TrainingJobName=summary["TrainingJobName"])
    assert (job["TrainingJobStatus"], job["ResourceConfig"]["InstanceCount"]) == ("Completed", hosts)
    assert machine.jobs() == []


def test_with_fewer_rows_the_function_trains(pipeline: Callable[..., Pipeline], system: Platform) -> None:
    machine = pipeline(TRAINING="container", TRAINING_JOB_ROWS="1000000")
    found = machine.ended(machine.start(["logistic_regression"], "train"))
    assert found.status == "SUCCEEDED" and len(runs_of(machine)) == 1
    assert system.client("sagemaker").list_training_jobs(NameContains=machine.name)["TrainingJobSummaries"] == []


def test_a_killed_job_fails_the_execution_by_name(pipeline: Callable[..., Pipeline]) -> None:
    machine = pipeline(TRAINING="container")
    execution = machine.start(["random_forest"], "train")
    (job, *_) = wait_for(machine.jobs, "the job to run", seconds=120)
    os.kill(job.pid, signal.SIGKILL)
    found = machine.ended(execution)
    assert (found.status, found.step, found.error) == ("FAILED", "train", "TrainingJobFailed")
    assert "exit code: 137" in (found.message or "")
    assert not [run for run in runs_of(machine) if run.info.status == "FINISHED"]


def test_an_error_of_the_job_is_that_of_the_execution(pipeline: Callable[..., Pipeline], stores: Stores) -> None:
    machine = pipeline(TRAINING="container")
    stores.empty()
    found = machine.ended(machine.start(["logistic_regression"], "train"))
    assert (found.status, found.error) == ("FAILED", "NoTrainingData")
    assert json.dumps(found.message).count("synthetic")


def test_a_stopped_execution_leaves_no_process_and_no_run_at_work(pipeline: Callable[..., Pipeline]) -> None:
    machine = pipeline(TRAINING="container")
    execution = machine.start(["gradient_boosting"], "train")
    wait_for(machine.jobs, "the job to run", seconds=120)
    machine.machines.stop_execution(executionArn=execution)
    assert machine.ended(execution).status == "ABORTED"
    wait_for(lambda: not machine.jobs(), "the job to end", seconds=120)
    assert {run.info.status for run in runs_of(machine)} <= {"FAILED", "KILLED"}
