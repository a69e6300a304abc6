"""A Dask cluster of one process per host: the scheduler on the first host, and a worker on each.

Nothing on the network asks who is calling: the hosts must be in a network of their own, as those of a training job are.
"""

import asyncio
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from itertools import batched
from typing import Any, Final, NoReturn

import dask
from distributed import Client, Future, LocalCluster, Status, Worker, get_worker

from readmission.errors import WorkerLost

JOIN_SECONDS: Final = 600.0  # hosts of a job start minutes apart
_POLL_SECONDS: Final = 0.5
_AT_ONCE: Final = 8
_CLOSE_SECONDS: Final = 10.0
_PROGRESS: Final = "progress"
_WITHOUT_HTTP: Final[dict[str, Any]] = {"distributed.scheduler.http.routes": [], "distributed.worker.http.routes": []}

type Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Cluster:
    """The workers' addresses by host: `addresses[0]` is the worker of the first. `progress` takes lines for people."""

    client: Client
    addresses: tuple[str, ...]
    progress: Progress

    def run[T](self, task: Callable[..., T], arguments: Sequence[tuple[Any, ...]]) -> list[T]:
        """Run the task once on each worker, with its own arguments, all at the same time.

        Raises what a task raises, and `WorkerLost` if a worker ends meanwhile.
        """
        futures = [
            self.client.submit(task, *own, workers=[address], allow_other_workers=False, pure=False, retries=0)
            for address, own in zip(self.addresses, arguments, strict=True)
        ]
        return self.results(futures)

    def submit(self, task: Callable[..., Any], *arguments: Any, host: int | None = None) -> Future[Any]:
        """Run the task on the worker of that host, or on any."""
        workers = None if host is None else [self.addresses[host]]
        return self.client.submit(task, *arguments, workers=workers, pure=False, retries=0)

    def tree(self, add: Callable[[list[Any]], Any], parts: Sequence[Future[Any]], host: int) -> Future[Any]:
        """The sum of what tasks return, on the worker of that host, which never holds more than a few of them."""
        parts = list(parts)
        while len(parts) > 1:
            parts = [self.submit(add, list(some), host=host) for some in batched(parts, _AT_ONCE, strict=False)]
        return parts[0]

    def results(self, futures: Sequence[Future[Any]]) -> list[Any]:
        """What the tasks return. Raises as `run` does."""
        while True:
            states = [future.status for future in futures]
            if "error" in states:
                # When a worker is killed, the tasks of the others fail too, and may be the first to say so.
                time.sleep(_POLL_SECONDS)
            self._check()
            if "error" in states or "pending" not in states:
                results: list[Any] = self.client.gather(list(futures))  # type: ignore[no-untyped-call]
                return results
            time.sleep(_POLL_SECONDS)

    def _check(self) -> None:
        alive = _workers(self.client)
        if lost := [address for address in self.addresses if address not in alive]:
            raise WorkerLost(
                f"{len(lost)} of {len(self.addresses)} workers ended before the training did: {', '.join(lost)}."
                " Their hosts' logs say why; out of memory is likely if they say nothing"
            )


@contextmanager
def started(hosts: Sequence[str], port: int, threads: int, progress: Progress) -> Iterator[Cluster]:
    """The cluster, with the scheduler in this process and the first host's worker in a child process.

    Waits for the workers of the other hosts (`work`). If the body ends well, so do they; if it raises, they exit with
    1. Raises `WorkerLost` if some do not come.
    """
    scheduler = {"dashboard": False, "dashboard_address": f"{hosts[0]}:0"}
    with (
        dask.config.set(_WITHOUT_HTTP),
        LocalCluster(  # type: ignore[no-untyped-call]
            n_workers=0, host=hosts[0], scheduler_port=port, protocol="tcp://", scheduler_kwargs=scheduler
        ) as local,
        Client(local) as client,  # type: ignore[no-untyped-call]
        _child(hosts, port, threads) as child,
    ):
        client.subscribe_topic(_PROGRESS, lambda event: progress(str(event[1])))
        cluster = Cluster(client, _joined(client, hosts, child), progress)
        progress(f"{len(hosts)} workers joined")
        yield cluster
        # One that ends now is not missed: its work is done.
        alive = [address for address in cluster.addresses if address in _workers(client)]
        client.run(_end_well, workers=alive, on_error="ignore")
        client.retire_workers(alive, close_workers=True)


def work(hosts: Sequence[str], current: str, port: int, threads: int, end: Callable[[int], NoReturn]) -> NoReturn:
    """Be the worker of the host `current` until the cluster ends, then end the process.

    `end` gets the exit code, 0 if the cluster ended well, and must not run anything that waits for other threads:
    LightGBM's does not end when another worker is lost.
    """
    logging.getLogger("distributed").setLevel(logging.WARNING)
    # Importing it holds the interpreter for seconds, in which a worker at work would not answer.
    import_module("readmission.training.distributed")
    with dask.config.set(_WITHOUT_HTTP):
        asyncio.run(_work(f"tcp://{hosts[0]}:{port}", hosts.index(current), current, threads, end))
    raise AssertionError("the process should have ended")


def report(progress: str) -> None:
    """Send a line from a task to the process with the scheduler."""
    get_worker().log_event(_PROGRESS, progress)


async def _work(scheduler: str, index: int, host: str, threads: int, end: Callable[[int], NoReturn]) -> None:
    try:
        worker = await Worker(
            scheduler,
            host=host,
            name=index,
            nthreads=threads,
            memory_limit=0,
            dashboard=False,
            death_timeout=JOIN_SECONDS,
        )
    except TimeoutError:
        logging.getLogger(__name__).error("the scheduler did not answer within %.0f s: %s", JOIN_SECONDS, scheduler)
        end(1)
    while worker.status == Status.running:
        await asyncio.sleep(_POLL_SECONDS)
    # The scheduler closes its workers, and a worker closes itself when it has lost the scheduler.
    end(0 if getattr(worker, _ENDED_WELL, False) else 1)


_ENDED_WELL: Final = "readmission_ended_well"


def _end_well(dask_worker: Worker) -> None:
    setattr(dask_worker, _ENDED_WELL, True)


@contextmanager
def _child(hosts: Sequence[str], port: int, threads: int) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "readmission.training.cluster", str(port), str(threads), *hosts]
    child = subprocess.Popen(command)
    try:
        yield child
        with suppress(subprocess.TimeoutExpired):
            child.wait(_CLOSE_SECONDS)
    finally:
        child.kill()
        child.wait()


def _workers(client: Client) -> dict[str, Any]:
    """The workers that the scheduler has now, by address.

    `client.scheduler_info` answers from a field that a timer of the client overwrites without workers.
    """
    assert client.scheduler is not None
    identity: dict[str, Any] = client.sync(client.scheduler.identity, n_workers=-1)  # type: ignore[no-untyped-call]
    workers: dict[str, Any] = identity["workers"]
    return workers


def _joined(client: Client, hosts: Sequence[str], child: "subprocess.Popen[bytes]") -> tuple[str, ...]:
    """The workers' addresses in the order of `hosts`."""
    deadline = time.monotonic() + JOIN_SECONDS
    while True:
        found = {info["name"]: address for address, info in _workers(client).items()}
        if set(found) == set(range(len(hosts))):
            return tuple(found[index] for index in range(len(hosts)))
        if child.poll() is not None:
            raise WorkerLost(f"the worker of {hosts[0]} ended with {child.returncode} when it started; see its log")
        if time.monotonic() > deadline:
            missing = [host for index, host in enumerate(hosts) if index not in found]
            raise WorkerLost(f"no worker joined from {', '.join(missing)} within {JOIN_SECONDS:.0f} s")
        time.sleep(_POLL_SECONDS)


if __name__ == "__main__":
    _port, _threads, *_hosts = sys.argv[1:]
    work(_hosts, _hosts[0], int(_port), int(_threads), os._exit)
