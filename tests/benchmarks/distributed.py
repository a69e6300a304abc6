"""Gradient boosting on a Dask cluster of two processes: seconds, and the memory of its processes."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import psutil
from readmission.domain.payloads import DataKind

from infra.local.commands.train_distributed import Cluster
from tests.benchmarks.cold import DOMAIN

WORKERS = 2
_SAMPLE_SECONDS = 0.5
_LEADS, _WORKS = "readmission.training.job", "readmission.training.cluster"


def measure(environment: dict[str, str], folder: Path, kind: DataKind, rows: int) -> dict[str, float]:
    """Trains on so many rows of the export. The time (s), and the peak memory (MB) of the process that leads and of the
    largest worker."""
    folder.mkdir()
    cluster = Cluster.of(WORKERS, folder, environment | {"PYTHONPATH": str(DOMAIN)})
    began = time.perf_counter()
    with _peaks() as peaks:
        cluster.train(kind, rows)
    return {"train seconds": time.perf_counter() - began} | peaks


@contextmanager
def _peaks() -> Iterator[dict[str, float]]:
    peaks = {"lead mb": 0.0, "worker mb": 0.0}
    done = Event()

    def watch() -> None:
        while not done.wait(_SAMPLE_SECONDS):
            _sample(peaks)

    thread = Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield peaks
    finally:
        done.set()
        thread.join()


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
