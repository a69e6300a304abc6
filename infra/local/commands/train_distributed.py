"""`make train-distributed`: gradient boosting on a Dask cluster of several processes, each as one host of a job."""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from readmission.domain.payloads import DataKind

from infra.local import aws, stack
from infra.local.commands import evaluate, pipeline
from infra.local.errors import LocalError
from infra.local.settings import Settings

FUNCTION = "readmission-train"
FAMILY = "gradient_boosting"
MOST_WORKERS = 64
END_SECONDS = 30


@dataclass(frozen=True)
class Cluster:
    """The hosts of a job as processes of this machine, with their files below `folder`."""

    hosts: tuple[str, ...]
    folder: Path
    environment: dict[str, str]

    @classmethod
    def of(cls, workers: int, folder: Path, environment: dict[str, str]) -> Self:
        """`environment`: that of a function that trains, with `DATA_BUCKET`."""
        hosts = tuple(f"127.0.0.{number}" for number in range(1, workers + 1))
        threads = max(1, (os.process_cpu_count() or 1) // workers)
        own = {"DASK_SCHEDULER_PORT": str(_free_port()), "TRAINING_THREADS": str(threads)}
        return cls(hosts, folder, {**os.environ, **environment, **own})

    def train(self, kind: DataKind, rows: int | None) -> str:
        """Prints how the training goes on, and returns the MLflow run. Raises LocalError if it fails."""
        self._configure(kind, rows)
        run_id, began = "", time.monotonic()
        with self._processes() as lead:
            assert lead.stdout is not None
            for line in lead.stdout:
                entry = _entry(line)
                if "progress" in entry:
                    print(f"train       {entry['progress']} ({time.monotonic() - began:.0f} s)", flush=True)
                run_id = entry.get("mlflow_run_id", run_id)
            lead.wait()
        if lead.returncode or not run_id:
            logs = "".join(f"\n--- {host}\n{self._log(host)}" for host in self.hosts if self._log(host))
            raise LocalError(f"The training failed: {self._failure(self.hosts[0])}{logs}")
        return run_id

    def _configure(self, kind: DataKind, rows: int | None) -> None:
        given = {
            "model": FAMILY,
            "data_kind": kind,
            "execution": f"train-distributed-{time.strftime('%Y%m%d-%H%M%S')}",
            "distributed": "true",
            **({"rows": str(rows)} if rows is not None else {}),
        }
        for host in self.hosts:
            own = self.folder / host
            own.mkdir()
            (own / "hyperparameters.json").write_text(json.dumps(given))
            (own / "resourceconfig.json").write_text(json.dumps({"current_host": host, "hosts": list(self.hosts)}))

    @contextmanager
    def _processes(self) -> Iterator["subprocess.Popen[str]"]:
        """The first host's process. None of them stays."""
        processes = [self._start(host) for host in self.hosts]
        try:
            yield processes[0]
            for process in processes:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(END_SECONDS)
        finally:
            for process in processes:
                process.terminate()
            for process in processes:
                try:
                    process.wait(END_SECONDS)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()

    def _start(self, host: str) -> "subprocess.Popen[str]":
        own = self.folder / host
        variables = {"TRAINING_CONFIG": str(own), "TRAINING_OUTPUT": str(own)}
        with (own / "log").open("w") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "readmission.training.job"],
                env=self.environment | variables,
                stdout=subprocess.PIPE if host == self.hosts[0] else log,
                stderr=log,
                text=True,
            )

    def _failure(self, host: str) -> str:
        """Why the process of the host failed, in a line."""
        with suppress(OSError):
            return (self.folder / host / "failure").read_text().strip()
        return "it was killed"

    def _log(self, host: str) -> str:
        return (self.folder / host / "log").read_text()[-4000:]


def train(settings: Settings, workers: int, rows: int | None) -> None:
    """Trains on the clean rows, or on the first `rows` of their export, and prints the run and its figures.

    Raises LocalError for a wrong number, and if the training fails.
    """
    if not 1 <= workers <= MOST_WORKERS:
        raise LocalError(f"WORKERS: {workers} must be a number from 1 to {MOST_WORKERS}")
    if rows is not None and rows < 1:
        raise LocalError(f"ROWS: {rows} must be a positive integer")
    kind = evaluate.clean_rows(settings, None)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(dir=settings.temporary) as folder:
        run_id = _cluster(settings, Path(folder), workers).train(kind, rows)
    print(f"            run {run_id} ({time.monotonic() - began:.0f} s)")
    result = {"data_kind": kind, "candidates": [{"model": FAMILY, "mlflow_run_id": run_id}]}
    pipeline.show_models(settings, result)
    print(f"\nTo compare it with the model in production: make pipeline START_AT=promote MODELS={FAMILY}")


def _cluster(settings: Settings, folder: Path, workers: int) -> Cluster:
    """The processes have the settings of the function *train*."""
    deployed = stack.get(settings)
    function = aws.client(settings, "lambda").get_function_configuration(FunctionName=FUNCTION)
    environment = {**function["Environment"]["Variables"], **aws.environment(settings)}
    return Cluster.of(workers, folder, environment | {"DATA_BUCKET": deployed.data_bucket})


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def _entry(line: str) -> dict[str, Any]:
    """A line of the log; empty for what is not an entry."""
    with suppress(ValueError):
        found = json.loads(line)
        if isinstance(found, dict):
            return found
    return {}
