"""Files that cannot grow, as on a full disk. Only the limit of one server's process changes, never a disk."""

import resource
import time
from contextlib import suppress
from dataclasses import dataclass
from random import Random

import psutil

from infra.local.servers.keys import path_of
from infra.local.servers.mirror import INTERVAL_SECONDS
from tests.chaos import facts
from tests.chaos.faults.interface import Injected, Verified
from tests.chaos.faults.on_a_run import OnARun
from tests.chaos.system import Step, System


@dataclass(frozen=True)
class FullDisk(OnARun):
    """Files of the S3 mirror cannot grow, as on a full disk, until the operator makes space."""

    any_step: bool = False

    def inject(self, system: System, step: Step, random: Random) -> Injected:
        before = facts.take(system)
        at = time.monotonic()
        _limit_files(system, 0)
        key = f"chaos-{random.getrandbits(32):08x}-{time.time():.0f}"
        system.put_source(key, b"kept")
        time.sleep(2 * INTERVAL_SECONDS + 1)
        broken = ["the mirror holds an object that it could not write"] if _copy(system, key) else []
        return Injected(at, "", before, broken=broken, object_key=key)

    def repair(self, system: System) -> None:
        _limit_files(system, resource.RLIM_INFINITY)

    def has_recovered(self, system: System, injected: Injected) -> bool:
        return _copy(system, injected.object_key) == b"kept" and system.is_healthy()

    def verify(self, system: System, injected: Injected) -> Verified:
        return Verified("copying resumed, nothing was lost")


def _limit_files(system: System, size: int) -> None:
    """Lets no file of the mirror grow beyond `size` bytes."""
    for process in system.server_processes("s3-mirror"):
        with suppress(psutil.NoSuchProcess):
            _, hard = process.handle.rlimit(resource.RLIMIT_FSIZE)
            process.handle.rlimit(resource.RLIMIT_FSIZE, (size, hard))


def _copy(system: System, name: str) -> bytes | None:
    path = system.settings.mirror / system.stack.data_bucket / path_of(f"sources/{name}")
    return path.read_bytes() if path.exists() else None
