"""Files that cannot grow, as on a full disk. Only the limits of one server's processes change, never a disk."""

import resource
import time
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from typing import Final

import psutil

from infra.local.lifecycle import processes
from infra.local.servers.keys import path_of
from infra.local.servers.mirror import INTERVAL_SECONDS
from tests.chaos import facts
from tests.chaos.faults.interface import Injected, Verified
from tests.chaos.faults.on_a_run import OnARun
from tests.chaos.system import Step, System

_FULL_SECONDS: Final = 3.0


@dataclass(frozen=True)
class FullDisk(OnARun):
    """Files of Postgres cannot grow while a step works, as on a full disk, until the operator makes space."""

    def inject(self, system: System, step: Step, random: Random) -> Injected:
        before = facts.take(system)
        run = system.start(step.stage)
        system.wait_for_task(run, step.state)
        time.sleep(random.uniform(0, step.seconds))
        at = time.monotonic()
        _limit_files(system, "postgres", 0)
        time.sleep(_FULL_SECONDS)
        return Injected(at, step.name, before, run)

    def repair(self, system: System) -> None:
        _limit_files(system, "postgres", resource.RLIM_INFINITY)


@dataclass(frozen=True)
class FullMirrorDisk(OnARun):
    """Files of the S3 mirror cannot grow, as on a full disk, until the operator makes space."""

    any_step: bool = False

    def inject(self, system: System, step: Step, random: Random) -> Injected:
        before = facts.take(system)
        at = time.monotonic()
        _limit_files(system, "s3-mirror", 0)
        key = f"chaos-{random.getrandbits(32):08x}-{time.time():.0f}"
        system.put_source(key, b"kept")
        time.sleep(2 * INTERVAL_SECONDS + 1)
        broken = ["the mirror holds an object that it could not write"] if _copy(system, key) else []
        return Injected(at, "", before, broken=broken, object_key=key)

    def repair(self, system: System) -> None:
        _limit_files(system, "s3-mirror", resource.RLIM_INFINITY)

    def has_recovered(self, system: System, injected: Injected) -> bool:
        return _copy(system, injected.object_key) == b"kept" and system.is_healthy()

    def verify(self, system: System, injected: Injected) -> Verified:
        return Verified("copying resumed, nothing was lost")


def _limit_files(system: System, program: str, size: int) -> None:
    """Lets no file of the program's processes grow beyond `size` bytes."""
    for process in processes.ours(system.settings):
        if process.program == program:
            with suppress(psutil.NoSuchProcess):
                _, hard = process.handle.rlimit(resource.RLIMIT_FSIZE)
                process.handle.rlimit(resource.RLIMIT_FSIZE, (size, hard))


def _copy(system: System, name: str) -> bytes | None:
    path = system.settings.mirror / system.stack.data_bucket / path_of(f"sources/{name}")
    return path.read_bytes() if path.exists() else None
