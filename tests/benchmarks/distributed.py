"""Gradient boosting on a Dask cluster of two processes: seconds, and the memory of its processes."""

import time
from functools import partial
from pathlib import Path

import psutil
from readmission.domain.payloads import DataKind

from infra.local.commands.train_distributed import Cluster
from tests.benchmarks import sampling
from tests.benchmarks.cold import DOMAIN

WORKERS = 2
_LEADS, _WORKS = "readmission.training.job", "readmission.training.cluster"


def measure(environment: dict[str, str], folder: Path, kind: DataKind, rows: int) -> dict[str, float]:
    """Trains on so many rows of the export. The time (s), and the peak memory (MB) of the process that leads and of the
    largest worker."""
    folder.mkdir()
    cluster = Cluster.of(WORKERS, folder, environment | {"PYTHONPATH": str(DOMAIN)})
    began = time.perf_counter()
    peaks = {"lead mb": 0.0, "worker mb": 0.0}
    with sampling.repeated(partial(_sample, peaks)):
        cluster.train(kind, rows)
    return {"train seconds": time.perf_counter() - began} | peaks


def _sample(peaks: dict[str, float]) -> None:
    """The first host leads, and its worker is a child process; of the others, the process itself is the worker."""
    for process in psutil.Process().children(recursive=True):
        try:
            command, parent, used = process.cmdline(), process.ppid(), process.memory_info().rss / 2**20
            leads = _LEADS in command and any(_WORKS in child.cmdline() for child in process.children())
        except psutil.NoSuchProcess:
            continue
        if leads:
            peaks["lead mb"] = max(peaks["lead mb"], used)
        elif _WORKS in command or (_LEADS in command and parent == psutil.Process().pid):
            peaks["worker mb"] = max(peaks["worker mb"], used)
