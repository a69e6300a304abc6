"""Training jobs: what starts and ends their processes, with the states and reasons of SageMaker."""

import re
import shutil
import signal
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, RLock, Thread
from typing import Any, Final

from localstack_plugin.sagemaker.host import Container, Host, Lines
from localstack_plugin.storage import watchdog

type Document = dict[str, Any]
# (log stream, lines)
type WriteLog = Callable[[str, Lines], None]

_NAME: Final = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}")
_POLL_SECONDS: Final = 0.1
# From SIGTERM to SIGKILL, as SageMaker.
STOP_SECONDS: Final = 120.0
_DAY: Final = 86_400
# What a description repeats of the request.
_REPEATED: Final = (
    "TrainingJobName",
    "HyperParameters",
    "AlgorithmSpecification",
    "RoleArn",
    "InputDataConfig",
    "OutputDataConfig",
    "ResourceConfig",
    "VpcConfig",
    "StoppingCondition",
    "EnableNetworkIsolation",
    "EnableInterContainerTrafficEncryption",
    "Environment",
)


class InvalidJob(Exception):
    """The request, or a change of a job, is refused: `code` is SageMaker's name of the error."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Place:
    """Where jobs run: the command that stands for the training image, their variables, and where their output goes."""

    command: Sequence[str]
    variables: Mapping[str, str]
    folder: Path
    write: WriteLog
    stop_seconds: float = STOP_SECONDS


class Job:
    """One training job. All methods may be called from any thread."""

    def __init__(self, request: Document, arn: str, place: Place) -> None:
        """Start the job. `place.folder` must not exist; it is removed when the job has ended."""
        self._request, self._arn, self._place = request, arn, place
        self._lock, self._stopped = RLock(), Event()
        self._created = datetime.now(UTC)
        self._state: Document = {}
        self._transitions: list[Document] = []
        self._enter("InProgress", "Starting", "Launching requested ML instances")
        self._hosts: list[Host] = []
        self._thread = Thread(target=self._run, name=f"training-job-{self.name}", daemon=True)
        self._thread.start()

    @property
    def name(self) -> str:
        name: str = self._request["TrainingJobName"]
        return name

    @property
    def status(self) -> str:
        status: str = self._state["TrainingJobStatus"]
        return status

    def describe(self) -> Document:
        """As DescribeTrainingJob answers."""
        with self._lock:
            repeated: Document = {name: self._request[name] for name in _REPEATED if name in self._request}
            return {
                **repeated,
                **self._state,
                "TrainingJobArn": self._arn,
                "CreationTime": self._created,
                "SecondaryStatusTransitions": [dict(one) for one in self._transitions],
            }

    def stop(self) -> None:
        """Ask the processes to end. Raises InvalidJob if the job has ended."""
        with self._lock:
            if self.status not in ("InProgress", "Stopping"):
                raise InvalidJob(
                    "ValidationException",
                    f"The request was rejected because the training job is in status {self.status}.",
                )
            self._enter("Stopping", "Stopping", "Stopping the training job")
        self._stopped.set()

    def kill(self) -> None:
        """End the processes at once; the job's state no longer matters."""
        for host in list(self._hosts):
            host.signal(signal.SIGKILL)

    def join(self, seconds: float) -> None:
        self._thread.join(seconds)

    def _run(self) -> None:
        try:
            self._start()
            status, secondary, reason = self._supervise()
        except OSError as error:
            status, secondary, reason = "Failed", "Failed", f"ClientError: the trainer cannot be started: {error}"
        for host in self._hosts:
            host.signal(signal.SIGKILL)
        watchdog.kill_processes(str(self._place.folder))
        for host in self._hosts:
            host.close()
        shutil.rmtree(self._place.folder, ignore_errors=True)
        self._enter(status, secondary, reason or "Training job completed", reason if status == "Failed" else "")

    def _start(self) -> None:
        resources = self._request["ResourceConfig"]
        # All are this machine; 127.0.0.0/8 is loopback.
        names = [f"127.0.0.{number}" for number in range(1, resources["InstanceCount"] + 1)]
        variables = {
            **self._request.get("Environment", {}),
            **self._place.variables,
            "TRAINING_JOB_NAME": self.name,
            "TRAINING_JOB_ARN": self._arn,
            "DASK_SCHEDULER_PORT": str(_free_port()),
        }
        container = Container(
            self._place.command,
            variables,
            self._request.get("HyperParameters", {}),
            names,
            resources.get("InstanceType", "local"),
        )
        self._enter("InProgress", "Training", "Training image download completed. Training in progress.")
        started = self._created.strftime("%s")
        for number, name in enumerate(names, 1):
            stream = f"{self.name}/algo-{number}-{started}"
            write = lambda lines, stream=stream: self._place.write(stream, lines)  # noqa: E731
            self._hosts.append(Host(container, name, self._place.folder / name, write))

    def _supervise(self) -> tuple[str, str, str]:
        """Wait for the end; returns status, secondary status and reason."""
        limit = self._request.get("StoppingCondition", {}).get("MaxRuntimeInSeconds", _DAY)
        deadline = time.monotonic() + limit
        while True:
            codes = [host.exit_code for host in self._hosts]
            if any(codes):
                self._terminate()
                return "Failed", "Failed", self._reason(codes)
            if self._stopped.is_set():
                self._terminate()
                return "Stopped", "Stopped", "Training job was stopped"
            if all(code == 0 for code in codes):
                return "Completed", "Completed", ""
            if time.monotonic() > deadline:
                self._terminate()
                return "Stopped", "MaxRuntimeExceeded", "Training job runtime exceeded MaxRuntimeInSeconds provided"
            self._stopped.wait(_POLL_SECONDS)

    def _terminate(self) -> None:
        """Give the processes time to end by themselves."""
        for host in self._hosts:
            host.signal(signal.SIGTERM)
        deadline = time.monotonic() + self._place.stop_seconds
        while any(host.exit_code is None for host in self._hosts) and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)

    def _reason(self, codes: Sequence[int | None]) -> str:
        """What a machine says that failed; `codes` are of those that ended by themselves, which come first.

        The others got SIGTERM then, which may have changed the code of one that was about to end.
        """
        failed = [(host, code) for host, code in zip(self._hosts, codes, strict=True) if code]
        later = [(host, host.exit_code) for host in self._hosts if host.exit_code]
        said = [(host, code) for host, code in (*failed, *later) if host.failure]
        host, code = (said or failed)[0]
        return f"AlgorithmError: {host.failure}, exit code: {code}"

    def _enter(self, status: str, secondary: str, message: str, reason: str = "") -> None:
        now = datetime.now(UTC)
        with self._lock:
            if self._transitions:
                self._transitions[-1]["EndTime"] = now
            self._transitions.append({"Status": secondary, "StartTime": now, "StatusMessage": message})
            self._state |= {"TrainingJobStatus": status, "SecondaryStatus": secondary, "LastModifiedTime": now}
            if secondary == "Training":
                self._state["TrainingStartTime"] = now
            if status in ("Completed", "Failed", "Stopped"):
                self._state["TrainingEndTime"] = self._transitions[-1]["EndTime"] = now
            if reason:
                self._state["FailureReason"] = reason


def checked(request: Document) -> Document:
    """The request; raises InvalidJob for what SageMaker or this emulator would refuse."""
    name = str(request.get("TrainingJobName", ""))
    if not _NAME.fullmatch(name):
        raise InvalidJob(
            "ValidationException",
            f"Value '{name}' at 'trainingJobName' failed to satisfy constraint: Member must satisfy regular expression"
            r" pattern: [a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}",
        )
    specification = request.get("AlgorithmSpecification", {})
    if not (specification.get("TrainingImage") or specification.get("AlgorithmName")):
        raise InvalidJob("ValidationException", "One of TrainingImage or AlgorithmName must be specified.")
    count = request.get("ResourceConfig", {}).get("InstanceCount")
    if not isinstance(count, int) or not 1 <= count <= 100:
        raise InvalidJob("ValidationException", f"'resourceConfig.instanceCount' must be from 1 to 100, not {count!r}.")
    vpc = request.get("VpcConfig")
    if vpc and not (all(vpc.get("Subnets") or [""]) and all(vpc.get("SecurityGroupIds") or [""])):
        raise InvalidJob("ValidationException", "'vpcConfig' must have subnets and security groups.")
    return request


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
