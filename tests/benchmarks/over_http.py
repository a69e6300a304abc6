"""One row over HTTP on loopback: our API under uvicorn (`make serve`), and `mlflow models serve` on the same model."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from statistics import median
from typing import Any

from readmission.features import INPUTS

from tests.benchmarks.cold import DOMAIN, ROOT
from tests.benchmarks.report import Figure
from tests.platforms import free_ports

_START_SECONDS = 120
_CALLS = 200


@dataclass(frozen=True, slots=True)
class _Served:
    cold: float  # s, from the process's start to the first answer
    p50: float  # ms
    mb: float  # of all processes


def measure(environment: Mapping[str, str], folder: Path, rows: Sequence[dict[str, Any]]) -> dict[str, Figure]:
    """`rows` are inputs of the model; ours is asked with the fields that they are made of, theirs with themselves."""
    (port,) = free_ports(1)
    own = [sys.executable, "-m", "readmission.serving"]
    ours = _serve(own, {**environment, "HOST": "127.0.0.1", "PORT": str(port)}, port, "/predict", _ours(rows))
    (port,) = free_ports(1)
    address = ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    mlflow = [sys.executable, "-m", "mlflow", "models", "serve", "--env-manager", "local", "-m", str(folder)]
    theirs = _serve([*mlflow, *address], environment, port, "/invocations", _theirs(rows))
    return {
        "http": Figure(ours.p50, theirs.p50, theirs.p50 / ours.p50),
        "http_cold": Figure(ours.cold, theirs.cold, theirs.cold / ours.cold),
        "http_rss": Figure(ours.mb, theirs.mb, theirs.mb / ours.mb),
    }


def _ours(rows: Sequence[dict[str, Any]]) -> list[str]:
    return [json.dumps(row) for row in rows]


def _theirs(rows: Sequence[dict[str, Any]]) -> list[str]:
    from readmission.features import inputs_of

    tables = [{"columns": list(INPUTS), "data": [list(inputs_of(row).values())]} for row in rows]
    return [json.dumps({"dataframe_split": table}) for table in tables]


def _serve(command: list[str], environment: Mapping[str, str], port: int, path: str, bodies: list[str]) -> _Served:
    with tempfile.TemporaryFile() as log:
        began = time.perf_counter()
        process = subprocess.Popen(
            command,
            env={**os.environ, **environment, "PYTHONPATH": os.pathsep.join(map(str, (ROOT, DOMAIN)))},
            stdout=log,
            stderr=log,
        )
        try:
            while not _answers(port, path, bodies[0]):
                if process.poll() is not None or time.perf_counter() - began > _START_SECONDS:
                    log.seek(0)
                    raise SystemExit(f"{command} does not answer:\n{log.read().decode()[-3000:]}")
                time.sleep(0.02)
            cold = time.perf_counter() - began
            return _Served(cold, _median(port, path, bodies), sum(_resident(pid) for pid in _tree(process.pid)))
        finally:
            _end(process)


def _answers(port: int, path: str, body: str) -> bool:
    with suppress(OSError):
        return _ask(HTTPConnection("127.0.0.1", port, timeout=10), path, body) == 200
    return False


def _ask(connection: HTTPConnection, path: str, body: str) -> int:
    connection.request("POST", path, body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    answer.read()
    return answer.status


def _median(port: int, path: str, bodies: list[str]) -> float:
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    took = []
    for number in range(_CALLS):
        began = time.perf_counter()
        status = _ask(connection, path, bodies[number % len(bodies)])
        if status != 200:
            raise SystemExit(f"{path} answered {status}")
        took.append((time.perf_counter() - began) * 1000)
    connection.close()
    return median(took[_CALLS // 10 :])


def _tree(pid: int) -> list[int]:
    """The process and all below it."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(below for child in children for below in _tree(int(child)))]


def _resident(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return sum(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


def _end(process: subprocess.Popen[bytes]) -> None:
    """Those below it too: `mlflow models serve` leaves its server behind when it is killed."""
    with suppress(OSError):
        for pid in reversed(_tree(process.pid)):
            with suppress(ProcessLookupError):
                os.kill(pid, 15)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
