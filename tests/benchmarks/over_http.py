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
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from typing import Any

from readmission.domain.features import INPUTS

from tests.benchmarks.cold import DOMAIN, ROOT
from tests.benchmarks.report import Figure
from tests.platforms import free_ports

_START_SECONDS = 120
# Enough for the CPU clock, which counts hundredths of a second.
_OUR_CALLS, _THEIR_CALLS = 3000, 300
_WARM_CALLS = 20


@dataclass(frozen=True, slots=True)
class _Served:
    cold: float  # s, from the process's start to the first answer
    p50: float  # ms
    per_core: float  # answers per CPU second
    mb: float  # of all processes
    first: dict[str, Any]  # the answer to the first row


def measure(environment: Mapping[str, str], folder: Path, rows: Sequence[dict[str, Any]]) -> dict[str, Figure]:
    """`rows` are model inputs, sent to MLflow; ours receives the fields they are made from."""
    (port,) = free_ports(1)
    own = [sys.executable, "-m", "readmission.serving"]
    ours = _serve(
        own, {**environment, "HOST": "127.0.0.1", "PORT": str(port)}, port, "/predict", _ours(rows, _OUR_CALLS)
    )
    (port,) = free_ports(1)
    address = ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    mlflow = [sys.executable, "-m", "mlflow", "models", "serve", "--env-manager", "local", "-m", str(folder)]
    theirs = _serve([*mlflow, *address], environment, port, "/invocations", _theirs(rows, _THEIR_CALLS))
    mine, its = ours.first["probabilities"], theirs.first["predictions"][0]
    if not all(abs(mine[label] - share) <= 1e-9 for label, share in zip(sorted(mine), its, strict=True)):
        raise SystemExit(f"ours and `mlflow models serve` differ: {mine}, {its}")
    return {
        "http_per_core": Figure(ours.per_core, theirs.per_core, ours.per_core / theirs.per_core),
        "http": Figure(ours.p50, theirs.p50, theirs.p50 / ours.p50),
        "http_cold": Figure(ours.cold, theirs.cold, theirs.cold / ours.cold),
        "http_rss": Figure(ours.mb, theirs.mb, theirs.mb / ours.mb),
    }


def _ours(rows: Sequence[dict[str, Any]], count: int) -> list[str]:
    return [json.dumps(row) for row in islice(cycle(rows), count)]


def _theirs(rows: Sequence[dict[str, Any]], count: int) -> list[str]:
    from readmission.domain.features import inputs_of

    tables = [{"columns": list(INPUTS), "data": [list(inputs_of(row).values())]} for row in rows]
    return [json.dumps({"dataframe_split": table}) for table in islice(cycle(tables), count)]


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
            while (first := _first(port, path, bodies[0])) is None:
                if process.poll() is not None or time.perf_counter() - began > _START_SECONDS:
                    log.seek(0)
                    raise SystemExit(f"{command} does not answer:\n{log.read().decode()[-3000:]}")
                time.sleep(0.02)
            cold = time.perf_counter() - began
            took, worked = _took(port, path, bodies, process.pid)
            memory = sum(_resident(pid) for pid in _tree(process.pid))
            return _Served(cold, median(took), len(took) / worked, memory, json.loads(first))
        finally:
            _end(process)


def _first(port: int, path: str, body: str) -> str | None:
    with suppress(OSError):
        status, answer = _ask(HTTPConnection("127.0.0.1", port, timeout=10), path, body)
        return answer if status == 200 else None
    return None


def _ask(connection: HTTPConnection, path: str, body: str) -> tuple[int, str]:
    connection.request("POST", path, body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def _took(port: int, path: str, bodies: list[str], pid: int) -> tuple[list[float], float]:
    """The time of each request (ms), and the CPU time of all (s), after a warm-up."""
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    took, worked = [], 0.0
    for number, body in enumerate([*bodies[:_WARM_CALLS], *bodies]):
        if number == _WARM_CALLS:
            worked = _worked(pid)
        began = time.perf_counter()
        status, _ = _ask(connection, path, body)
        if status != 200:
            raise SystemExit(f"{path} answered {status}")
        took.append((time.perf_counter() - began) * 1000)
    connection.close()
    return took[_WARM_CALLS:], _worked(pid) - worked


def _worked(pid: int) -> float:
    """CPU time (s) of the process and its descendants, threads included."""
    ticks = 0
    for one in _tree(pid):
        fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])  # utime and stime, of proc(5)
    return ticks / os.sysconf("SC_CLK_TCK")


def _tree(pid: int) -> list[int]:
    """The process and its descendants."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(below for child in children for below in _tree(int(child)))]


def _resident(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return sum(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


def _end(process: subprocess.Popen[bytes]) -> None:
    """Also kills the descendants: `mlflow models serve` leaves its server behind when it is killed."""
    with suppress(OSError):
        for pid in reversed(_tree(process.pid)):
            with suppress(ProcessLookupError):
                os.kill(pid, 15)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
