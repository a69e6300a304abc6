"""A job is processes with SageMaker's files and variables, and its states and reasons are SageMaker's."""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from localstack_plugin.sagemaker.jobs import InvalidJob, Job, Place, checked

ARN = "arn:aws:sagemaker:us-east-1:000000000000:training-job/job"
# Writes what it was given to $SEEN/<host>.json, and then does what the hyperparameter `does` says.
TRAINER = """
import json, os, pathlib, signal, subprocess, sys, time
config = pathlib.Path(os.environ["TRAINING_CONFIG"])
given = {path.stem: json.loads(path.read_text()) for path in config.iterdir()}
given["variables"] = dict(os.environ)
host = given["resourceconfig"]["current_host"]
does = given["hyperparameters"]["does"]
if does == "linger":
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    given["child"] = child.pid
if does == "ignore":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
given["pid"] = os.getpid()
seen = pathlib.Path(os.environ["SEEN"]) / f"{host}.json"
seen.with_suffix(".part").write_text(json.dumps(given))
seen.with_suffix(".part").rename(seen)
print(f"{host} does {does}")
if does == "wait" or does == "ignore" or (does == "first fails" and not host.endswith(".1")):
    time.sleep(600)
if does in ("fail", "first fails"):
    while does == "first fails" and not seen.with_name("127.0.0.2.json").exists():
        time.sleep(0.02)
    (pathlib.Path(os.environ["TRAINING_OUTPUT"]) / "failure").write_text("NoTrainingData: there are no rows\\n")
    sys.exit(1)
if does == "second fails":
    (pathlib.Path(os.environ["TRAINING_OUTPUT"]) / "failure").write_text("NoTrainingData: there are no rows\\n")
    if host.endswith(".1"):
        seen.with_name("written").touch()
        time.sleep(600)
    while not seen.with_name("written").exists():
        time.sleep(0.02)
    sys.exit(1)
if does == "exit":
    sys.exit(3)
"""

type Start = Callable[..., Job]


class Log:
    """The lines of each log stream."""

    def __init__(self) -> None:
        self.streams: dict[str, list[str]] = {}

    def __call__(self, stream: str, lines: list[tuple[int, str]]) -> None:
        self.streams.setdefault(stream, []).extend(line for _, line in lines)


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def start(tmp_path: Path, log: Log) -> Iterator[Start]:
    trainer = tmp_path / "trainer.py"
    trainer.write_text(TRAINER)
    (tmp_path / "seen").mkdir()
    jobs: list[Job] = []

    def run(does: str, instances: int = 1, seconds: int = 60, stop_seconds: float = 60) -> Job:
        request = {
            "TrainingJobName": "job",
            "HyperParameters": {"does": does},
            "Environment": {"SEEN": str(tmp_path / "seen"), "MODEL_NAME": "readmission"},
            "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": instances},
            "StoppingCondition": {"MaxRuntimeInSeconds": seconds},
        }
        variables = {"AWS_REGION": "us-east-1"}
        place = Place([sys.executable, "-I", "-S", str(trainer)], variables, tmp_path / "job", log, stop_seconds)
        jobs.append(Job(request, ARN, place))
        return jobs[-1]

    yield run
    for job in jobs:
        job.kill()
        job.join(30)


def seen(tmp_path: Path, host: str = "127.0.0.1") -> dict[str, Any]:
    """What the trainer was given, once it runs."""
    path = tmp_path / "seen" / f"{host}.json"
    deadline = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def ended(job: Job) -> dict[str, Any]:
    job.join(30)
    return job.describe()


def runs(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def test_each_host_gets_the_files_and_variables_of_a_training_container(start: Start, tmp_path: Path) -> None:
    assert ended(start("nothing", instances=2))["TrainingJobStatus"] == "Completed"
    hosts = ["127.0.0.1", "127.0.0.2"]
    given = [seen(tmp_path, host) for host in hosts]
    assert [one["hyperparameters"] for one in given] == [{"does": "nothing"}] * 2
    assert [one["resourceconfig"]["current_host"] for one in given] == hosts
    assert [one["resourceconfig"]["hosts"] for one in given] == [hosts] * 2
    variables = [one["variables"] for one in given]
    assert {one["MODEL_NAME"] for one in variables} == {"readmission"}
    assert {one["AWS_REGION"] for one in variables} == {"us-east-1"}
    assert len({one["DASK_SCHEDULER_PORT"] for one in variables}) == 1
    assert len({one["TMPDIR"] for one in variables}) == 2


def test_a_job_gets_no_variables_of_the_machine(start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_OF_THE_HOST", "1")
    ended(start("nothing"))
    assert "SECRET_OF_THE_HOST" not in seen(tmp_path)["variables"]


def test_a_job_whose_hosts_all_succeed_is_completed(start: Start, log: Log) -> None:
    found = ended(start("nothing", instances=2))
    assert (found["TrainingJobStatus"], found["SecondaryStatus"]) == ("Completed", "Completed")
    assert "FailureReason" not in found
    assert [one["Status"] for one in found["SecondaryStatusTransitions"]] == ["Starting", "Training", "Completed"]
    assert sorted(line for lines in log.streams.values() for line in lines) == [
        "127.0.0.1 does nothing",
        "127.0.0.2 does nothing",
    ]
    assert [stream.rpartition("-")[0] for stream in sorted(log.streams)] == ["job/algo-1", "job/algo-2"]


def test_a_failure_has_what_the_container_wrote_and_its_exit_code(start: Start) -> None:
    found = ended(start("fail"))
    assert (found["TrainingJobStatus"], found["SecondaryStatus"]) == ("Failed", "Failed")
    assert found["FailureReason"] == "AlgorithmError: NoTrainingData: there are no rows, exit code: 1"


def test_of_two_containers_that_name_the_failure_the_exit_code_is_that_of_the_one_that_ended_by_itself(
    start: Start,
) -> None:
    found = ended(start("second fails", instances=2))
    assert found["FailureReason"] == "AlgorithmError: NoTrainingData: there are no rows, exit code: 1"


def test_a_container_that_names_nothing_fails_with_its_exit_code(start: Start) -> None:
    assert ended(start("exit"))["FailureReason"] == "AlgorithmError: , exit code: 3"


def test_a_killed_process_fails_its_job(start: Start, tmp_path: Path) -> None:
    job = start("wait")
    os.kill(seen(tmp_path)["pid"], 9)
    assert ended(job)["FailureReason"] == "AlgorithmError: , exit code: 137"


def test_a_failed_host_ends_the_others(start: Start, tmp_path: Path) -> None:
    job = start("first fails", instances=2)
    other = seen(tmp_path, "127.0.0.2")["pid"]
    assert ended(job)["FailureReason"].startswith("AlgorithmError: NoTrainingData")
    assert not runs(other)


def test_a_stopped_job_leaves_no_process(start: Start, tmp_path: Path) -> None:
    job = start("wait", instances=2)
    pids = [seen(tmp_path, host)["pid"] for host in ("127.0.0.1", "127.0.0.2")]
    job.stop()
    found = ended(job)
    assert (found["TrainingJobStatus"], found["SecondaryStatus"]) == ("Stopped", "Stopped")
    assert not any(runs(pid) for pid in pids)
    assert not (tmp_path / "job").exists()


def test_a_process_that_does_not_end_by_itself_is_killed(start: Start, tmp_path: Path) -> None:
    job = start("ignore", stop_seconds=0.5)
    pid = seen(tmp_path)["pid"]
    job.stop()
    assert ended(job)["TrainingJobStatus"] == "Stopped"
    assert not runs(pid)


def test_a_job_that_exceeds_its_time_is_stopped_and_says_so(start: Start, tmp_path: Path) -> None:
    found = ended(start("wait", seconds=1))
    assert (found["TrainingJobStatus"], found["SecondaryStatus"]) == ("Stopped", "MaxRuntimeExceeded")


def test_what_a_container_leaves_running_ends_with_its_job(start: Start, tmp_path: Path) -> None:
    assert ended(start("linger"))["TrainingJobStatus"] == "Completed"
    assert not runs(seen(tmp_path)["child"])


def test_a_job_that_has_ended_cannot_be_stopped(start: Start) -> None:
    job = start("nothing")
    ended(job)
    with pytest.raises(InvalidJob, match="Completed"):
        job.stop()


def test_a_command_that_is_no_program_fails_the_job(tmp_path: Path, log: Log) -> None:
    request = {"TrainingJobName": "job", "ResourceConfig": {"InstanceCount": 1}}
    job = Job(request, ARN, Place([str(tmp_path / "missing")], {}, tmp_path / "job", log))
    assert ended(job)["FailureReason"].startswith("ClientError: the trainer cannot be started")


VALID = {
    "TrainingJobName": "job",
    "AlgorithmSpecification": {"TrainingImage": "trainer"},
    "ResourceConfig": {"InstanceCount": 1},
}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"TrainingJobName": "a_b"}, "trainingJobName"),
        ({"TrainingJobName": "a" * 64}, "trainingJobName"),
        ({"AlgorithmSpecification": {}}, "TrainingImage"),
        ({"ResourceConfig": {"InstanceCount": 0}}, "instanceCount"),
        ({"VpcConfig": {"Subnets": [""], "SecurityGroupIds": ["sg-1"]}}, "vpcConfig"),
    ],
)
def test_a_request_that_sagemaker_would_refuse_is_refused(change: dict[str, Any], named: str) -> None:
    assert checked(VALID) == VALID
    with pytest.raises(InvalidJob, match=named) as refused:
        checked(VALID | change)
    assert refused.value.code == "ValidationException"
