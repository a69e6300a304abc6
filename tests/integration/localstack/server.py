"""A LocalStack process with our plug-in, for tests."""

import base64
import io
import json
import os
import signal
import socket
import subprocess
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import psutil
import pytest
from botocore.config import Config

from tests.leash import die_with_parent

PROJECT = Path(__file__).parents[3] / "infra" / "localstack"
REGION = "eu-west-1"
ROLE = "arn:aws:iam::000000000000:role/lambda"
HOST_SECRET = "HOST_SECRET_OF_THE_TEST"
# SIGUSR1 writes what each thread is doing to the log.
_MAIN = """
import faulthandler, runpy, signal
faulthandler.register(signal.SIGUSR1)
runpy.run_module("localstack.runtime.main", run_name="__main__")
"""


@dataclass
class Server:
    """A running LocalStack; `folder` holds everything it writes, `temporary` is its temporary directory."""

    process: subprocess.Popen[bytes]
    endpoint: str
    folder: Path
    clients: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def start(cls, folder: Path, **variables: str) -> "Server":
        """Start LocalStack with further environment variables and wait until it is ready."""
        python = PROJECT / ".venv" / "bin" / "python"
        if not python.exists():
            pytest.fail(f"{python} does not exist: run `make -C infra/localstack setup`")
        port = _free_port()
        for name in ("root", "tmp"):
            (folder / name).mkdir(parents=True)
        with (folder / "localstack.log").open("wb") as log:
            process = subprocess.Popen(
                [python, "-c", _MAIN],
                cwd=folder,
                env={
                    "PATH": os.environ["PATH"],
                    "TMPDIR": str(folder / "tmp"),
                    "FILESYSTEM_ROOT": str(folder / "root"),
                    "GATEWAY_LISTEN": f"127.0.0.1:{port}",
                    "OVERRIDE_IN_DOCKER": "0",
                    "DNS_ADDRESS": "0",
                    "SKIP_SSL_CERT_DOWNLOAD": "1",
                    "DISABLE_EVENTS": "1",
                    "LAMBDA_RUNTIME_EXECUTOR": "process",
                    **variables,
                    HOST_SECRET: "must not reach a function",
                },
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=die_with_parent(),
            )
        server = cls(process, f"http://127.0.0.1:{port}", folder)
        server._wait_until_ready()
        return server

    @property
    def temporary(self) -> Path:
        return self.folder / "tmp"

    @property
    def log(self) -> str:
        return (self.folder / "localstack.log").read_text(errors="replace")

    def client(self, service: str) -> Any:
        """A boto3 client that neither retries nor limits concurrency."""
        if service not in self.clients:
            self.clients[service] = boto3.client(
                service,
                endpoint_url=self.endpoint,
                region_name=REGION,
                aws_access_key_id="test",
                aws_secret_access_key="test",
                config=Config(retries={"total_max_attempts": 1}, max_pool_connections=50, read_timeout=60),
            )
        return self.clients[service]

    def stop(self) -> None:
        """Terminate LocalStack and wait until it has exited.

        First starts all services that an invocation uses: LocalStack never exits if one starts while it stops.
        """
        self.client("logs").describe_log_groups()
        self.client("cloudwatch").list_metrics()
        self.client("sqs").list_queues()
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(timeout=120)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGUSR1)
            time.sleep(2)
            self.kill()
            pytest.fail(f"LocalStack did not stop:\n{self.log[-20_000:]}")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def _wait_until_ready(self) -> None:
        def ready() -> bool:
            if self.process.poll() is not None:
                pytest.fail(f"LocalStack exited while it started:\n{self.log}")
            return "\nReady." in self.log

        wait_for(ready, "LocalStack to be ready", seconds=240)


def wait_for(condition: Callable[[], Any], what: str, seconds: float = 60) -> Any:
    """Poll `condition` and return its first true value; fails the test after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            pytest.fail(f"Waited {seconds} s for {what}")
        time.sleep(0.05)
    return value


def zip_of(files: dict[str, str | bytes], *, date: tuple[int, ...] = (2024, 1, 1, 0, 0, 0), mode: int = 0o644) -> bytes:
    """A zip archive of files, all with the same date and permission mode."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, date)
            entry.external_attr = mode << 16
            archive.writestr(entry, content)
    return buffer.getvalue()


def processes_below(folder: Path) -> list[int]:
    """Pids of all processes whose command line, environment or working directory names `folder`."""
    found = []
    for process in psutil.process_iter(["cmdline", "environ", "cwd"], ad_value=""):
        texts = [*process.info["cmdline"], *dict(process.info["environ"] or {}).values(), process.info["cwd"]]
        if process.pid != os.getpid() and any(str(folder) in text for text in texts):
            found.append(process.pid)
    return found


def is_alive(pid: int) -> bool:
    """Whether the process exists and is not a zombie."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@dataclass(frozen=True)
class Result:
    """An invocation's response: `payload` is parsed, `error` True for a FunctionError, `logs` the last 4 KB."""

    payload: Any
    error: bool
    logs: str


@dataclass(frozen=True)
class Function:
    """A deployed function."""

    server: Server
    name: str

    def invoke(self, event: object = None, qualifier: str | None = None) -> Result:
        arguments = {"Qualifier": qualifier} if qualifier else {}
        response = self.server.client("lambda").invoke(
            FunctionName=self.name, Payload=json.dumps(event), LogType="Tail", **arguments
        )
        return Result(
            payload=json.loads(response["Payload"].read()),
            error=response.get("FunctionError") == "Unhandled",
            logs=base64.b64decode(response["LogResult"]).decode(errors="replace"),
        )

    def log_events(self) -> list[str]:
        """Messages that have arrived in the function's log group, without their line ends."""
        logs = self.server.client("logs")
        group = f"/aws/lambda/{self.name}"
        if not logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]:
            return []
        pages = logs.get_paginator("filter_log_events").paginate(logGroupName=group)
        return [event["message"].rstrip("\n") for page in pages for event in page["events"]]

    def log_events_with(self, text: str) -> list[str]:
        """All messages, once one of them contains `text`."""

        def events() -> list[str]:
            found = self.log_events()
            return found if any(text in message for message in found) else []

        return wait_for(events, f"{text!r} in the logs of {self.name}")


def create_function(server: Server, name: str, source: str, **configuration: Any) -> None:
    """Create a function whose module `app` is `source`; `files` are further files in its archive."""
    files = configuration.pop("files", {})
    server.client("lambda").create_function(
        FunctionName=name,
        Role=ROLE,
        Runtime=configuration.pop("Runtime", "python3.13"),
        Handler=configuration.pop("Handler", "app.handler"),
        Code={"ZipFile": zip_of({"app.py": source, **files})},
        **configuration,
    )


def wait_until_active(server: Server, name: str) -> None:
    server.client("lambda").get_waiter("function_active_v2").wait(
        FunctionName=name, WaiterConfig={"Delay": 0.1, "MaxAttempts": 300}
    )


def wait_until_updated(server: Server, name: str) -> None:
    server.client("lambda").get_waiter("function_updated_v2").wait(
        FunctionName=name, WaiterConfig={"Delay": 0.1, "MaxAttempts": 300}
    )
