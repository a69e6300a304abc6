"""The pipeline's state machine runs training jobs on the emulator, with a script in place of the trainer."""

import json
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from readmission.pipeline import executions
from readmission.pipeline.executions import Execution

from statemachines import generate
from tests.integration.localstack.server import (
    Server,
    create_function,
    is_alive,
    processes_below,
    wait_for,
    wait_until_active,
)

ROLE = "arn:aws:iam::000000000000:role/machine"
# *plan* returns the execution's input. *train* has a job for each model, whose name says what the job does.
SOURCE = """
import json

def handler(event, context):
    if "input" in event:
        return event["input"]
    if event.get("task") == "plots":
        return {}
    if "earlier" in event:
        return {"outcome": "train", "execution": None, "wait_seconds": 0, "candidates": [], "promotion": None}
    model = event["model"]
    if event["after_job"]:
        outcome = event["outcome"]
        if "Error" in outcome:
            if model == "fails first" and event["attempt"] == 1:
                return request(event, 2)
            raise RuntimeError(json.dumps(outcome))
        return {"model": model, "mlflow_run_id": f"run of attempt {event['attempt']}"}
    return request(event, 1)

def request(event, attempt):
    job = {"name": "readmission-job", "model": event["model"], "data_kind": event["data_kind"],
           "execution": event["execution"], "distributed": "true", "instances": 2, "attempt": attempt,
           "wait_seconds": attempt - 1}
    return {"model": event["model"], "job": job}
"""
TRAINER = """
import json, os, pathlib, sys, time
config = pathlib.Path(os.environ["TRAINING_CONFIG"])
told = json.loads((config / "hyperparameters.json").read_text())
resources = json.loads((config / "resourceconfig.json").read_text())
seen = pathlib.Path(os.environ["DATA_BUCKET"]) / f"{told['model']} {resources['current_host']}"
again = seen.exists()
seen.write_text(json.dumps({"pid": os.getpid(), "told": told, "resources": resources, "variables": dict(os.environ)}))
print(json.dumps({"message": "training", "host": resources["current_host"]}))
if told["model"] == "waits":
    time.sleep(600)
# The first host alone fails: the other may be stopped before it has left its mark.
fails_first = told["model"] == "fails first" and resources["current_host"] == resources["hosts"][0] and not again
if told["model"] == "fails" or fails_first:
    (pathlib.Path(os.environ["TRAINING_OUTPUT"]) / "failure").write_text("NoTrainingData: there are no rows")
    sys.exit(1)
"""
HOSTS = ["127.0.0.1", "127.0.0.2"]
SUBSTITUTED = {
    "TrainingImage": "trainer",
    "TrainingRoleArn": "arn:aws:iam::000000000000:role/training-job",
    "TrainingInstanceType": "ml.m5.large",
    "TrainingVolumeSize": "50",
    "TrainingMaxSeconds": "900",
    "TrainingSubnetIds": "",
    "TrainingSecurityGroupIds": "",
    "ModelName": "readmission",
}

type Run = Callable[..., tuple[str, Any]]


@pytest.fixture(scope="module")
def trainers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A LocalStack with a trainer, and with the pipeline's one function."""
    folder = tmp_path_factory.mktemp("trainers")
    trainer = folder / "trainer.py"
    trainer.write_text(TRAINER)
    server = Server.start(folder / "localstack", TRAINING_JOB_COMMAND=f"{sys.executable} -I -S {trainer}")
    create_function(server, "step", SOURCE, Timeout=30)
    wait_until_active(server, "step")
    yield server
    server.stop()


@pytest.fixture
def start(trainers: Server, tmp_path: Path) -> Callable[..., str]:
    """`start(model, **substitutions)`: the ARN of an execution that trains one model by a job."""

    def execute(model: str, **substitutions: str) -> str:
        arn = trainers.client("lambda").get_function(FunctionName="step")["Configuration"]["FunctionArn"]
        values = {**SUBSTITUTED, "DataBucket": str(tmp_path), **substitutions}

        def value(match: re.Match[str]) -> str:
            return arn if match[1].endswith("FunctionArn") else values.get(match[1], "")

        machines = trainers.client("stepfunctions")
        machine = machines.create_state_machine(
            name=f"machine-{tmp_path.name[-40:]}".replace("_", "-"),
            definition=re.sub(r"\$\{(\w+)\}", value, generate.definition()),
            roleArn=ROLE,
        )["stateMachineArn"]
        fields = {"data_kind": "real", "manifest": "", "batches": [], "models": [model], "by": None, "force": False}
        fields |= {"started_by": "person", "skipped": None}
        return executions.start(machines, machine, {**fields, "start_at": "train", "stop_after": "train"})

    return execute


def ended(server: Server, arn: str) -> Execution:
    def found() -> Execution | None:
        execution = executions.describe(server.client("stepfunctions"), arn)
        return None if execution.status == executions.RUNNING else execution

    execution: Execution = wait_for(found, "the execution to end", seconds=90)
    return execution


def seen(folder: Path, model: str, host: str = HOSTS[0]) -> dict[str, Any]:
    """What the trainer was given, once it runs."""

    def given() -> Any:
        path = folder / f"{model} {host}"
        return json.loads(path.read_text() or "null") if path.exists() else None

    found: dict[str, Any] = wait_for(given, "the trainer to run")
    return found


def jobs(server: Server, execution: str) -> list[dict[str, Any]]:
    """The descriptions of the execution's jobs, newest first."""
    client = server.client("sagemaker")
    names = [one["TrainingJobName"] for one in client.list_training_jobs()["TrainingJobSummaries"]]
    found = [client.describe_training_job(TrainingJobName=name) for name in names]
    return [job for job in found if job["HyperParameters"]["execution"] == execution.rpartition(":")[2]]


def test_a_job_trains_on_all_its_hosts_with_what_the_stack_gives_it(
    trainers: Server, start: Callable[..., str], tmp_path: Path
) -> None:
    arn = start("trains")
    found = ended(trainers, arn)
    assert (found.status, found.error, found.message) == ("SUCCEEDED", None, None)
    assert found.output["candidates"] == [{"model": "trains", "mlflow_run_id": "run of attempt 1"}]
    (job,) = jobs(trainers, arn)
    assert (job["TrainingJobStatus"], job["ResourceConfig"]["VolumeSizeInGB"]) == ("Completed", 50)
    assert job["StoppingCondition"]["MaxRuntimeInSeconds"] == 900
    given = [seen(tmp_path, "trains", host) for host in HOSTS]
    assert [one["resources"]["current_host"] for one in given] == HOSTS
    execution = arn.rpartition(":")[2]
    told = {"model": "trains", "data_kind": "real", "execution": execution, "distributed": "true"}
    assert [one["told"] for one in given] == [told] * 2
    variables = given[0]["variables"]
    assert (variables["MODEL_NAME"], variables["AWS_ENDPOINT_URL"]) == ("readmission", trainers.endpoint)


def test_the_output_of_a_job_is_in_cloudwatch_logs(trainers: Server, start: Callable[..., str]) -> None:
    arn = start("trains")
    ended(trainers, arn)
    (job,) = jobs(trainers, arn)
    logs, group = trainers.client("logs"), "/aws/sagemaker/TrainingJobs"
    prefix = f"{job['TrainingJobName']}/algo-2"
    (stream,) = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=prefix)["logStreams"]
    events = logs.get_log_events(logGroupName=group, logStreamName=stream["logStreamName"])["events"]
    assert [json.loads(event["message"])["host"] for event in events] == HOSTS[1:]


def test_an_error_of_a_job_reaches_the_function_with_its_reason(trainers: Server, start: Callable[..., str]) -> None:
    found = ended(trainers, start("fails"))
    assert (found.status, found.step, found.error) == ("FAILED", "train", "RuntimeError")
    outcome = json.loads(found.message or "")
    assert outcome["Error"] == "States.TaskFailed"
    job = json.loads(outcome["Cause"])
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Failed", "Failed")
    assert job["FailureReason"] == "AlgorithmError: NoTrainingData: there are no rows, exit code: 1"


def test_a_job_that_failed_of_what_may_pass_is_tried_again_under_another_name(
    trainers: Server, start: Callable[..., str]
) -> None:
    arn = start("fails first")
    assert ended(trainers, arn).output["candidates"][0]["mlflow_run_id"] == "run of attempt 2"
    assert [job["TrainingJobStatus"] for job in jobs(trainers, arn)] == ["Completed", "Failed"]


def test_a_killed_job_fails_the_execution(trainers: Server, start: Callable[..., str], tmp_path: Path) -> None:
    arn = start("waits")
    os.kill(seen(tmp_path, "waits")["pid"], signal.SIGKILL)
    outcome = json.loads(ended(trainers, arn).message or "")
    assert json.loads(outcome["Cause"])["FailureReason"] == "AlgorithmError: , exit code: 137"


def test_a_stopped_execution_leaves_no_process(trainers: Server, start: Callable[..., str], tmp_path: Path) -> None:
    arn = start("waits")
    pids = [seen(tmp_path, "waits", host)["pid"] for host in HOSTS]
    trainers.client("stepfunctions").stop_execution(executionArn=arn, error="Stopped", cause="by the test")
    assert ended(trainers, arn).status == "ABORTED"
    wait_for(lambda: not any(is_alive(pid) for pid in pids), "the job to end")
    wait_for(lambda: jobs(trainers, arn)[0]["TrainingJobStatus"] == "Stopped", "the job to be stopped")


def test_a_job_that_takes_too_long_is_stopped(trainers: Server, start: Callable[..., str]) -> None:
    found = ended(trainers, start("waits", TrainingMaxSeconds="2"))
    job = json.loads(json.loads(found.message or "")["Cause"])
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "MaxRuntimeExceeded")


def test_a_job_in_a_vpc_has_its_subnets(trainers: Server, start: Callable[..., str]) -> None:
    arn = start("trains", TrainingSubnetIds="subnet-1,subnet-2", TrainingSecurityGroupIds="sg-1,sg-2")
    assert ended(trainers, arn).status == "SUCCEEDED"
    (job,) = jobs(trainers, arn)
    assert job["VpcConfig"] == {"Subnets": ["subnet-1", "subnet-2"], "SecurityGroupIds": ["sg-1", "sg-2"]}


def test_a_request_that_is_refused_reaches_the_function_as_sagemakers_error(
    trainers: Server, start: Callable[..., str]
) -> None:
    outcome = json.loads(ended(trainers, start("trains", TrainingImage="")).message or "")
    assert outcome["Error"] == "SageMaker.ValidationException"
    assert "TrainingImage" in outcome["Cause"]


def test_without_a_trainer_the_error_says_what_is_missing(server: Server) -> None:
    with pytest.raises(ClientError, match=r"no trainer.*TRAINING_JOB_COMMAND"):
        server.client("sagemaker").create_training_job(
            TrainingJobName="job",
            AlgorithmSpecification={"TrainingImage": "trainer", "TrainingInputMode": "File"},
            RoleArn=ROLE,
            OutputDataConfig={"S3OutputPath": "s3://bucket/jobs"},
            ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
            StoppingCondition={"MaxRuntimeInSeconds": 60},
        )
    with pytest.raises(ClientError, match="ResourceNotFound"):
        server.client("sagemaker").describe_training_job(TrainingJobName="job")


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_no_job_outlives_localstack(tmp_path: Path, how: str) -> None:
    trainer = tmp_path / "trainer.py"
    trainer.write_text(TRAINER)
    server = Server.start(tmp_path / "localstack", TRAINING_JOB_COMMAND=f"{sys.executable} -I -S {trainer}")
    server.client("sagemaker").create_training_job(
        TrainingJobName="job",
        AlgorithmSpecification={"TrainingImage": "trainer", "TrainingInputMode": "File"},
        RoleArn=ROLE,
        HyperParameters={"model": "waits"},
        Environment={"DATA_BUCKET": str(tmp_path)},
        OutputDataConfig={"S3OutputPath": "s3://bucket/jobs"},
        ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 2, "VolumeSizeInGB": 1},
        StoppingCondition={"MaxRuntimeInSeconds": 600},
    )
    pids = [seen(tmp_path, "waits", host)["pid"] for host in HOSTS]
    getattr(server, how)()
    wait_for(lambda: not any(is_alive(pid) for pid in pids), "the job to end")
    wait_for(lambda: not processes_below(server.temporary), "the watchdog to end")
    assert list(server.temporary.iterdir()) == []
