"""Full disks: of one server alone, on a small disk of its own, and of the S3 mirror, whose files cannot grow."""

import resource
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

import psutil
from botocore.exceptions import BotoCoreError, ClientError

from infra.local.errors import LocalError
from infra.local.servers.keys import path_of
from infra.local.servers.mirror import INTERVAL_SECONDS
from infra.local.settings import Settings
from tests.chaos import facts, small_disk
from tests.chaos.faults.interface import Injected, NotInjected, Verified
from tests.chaos.faults.on_a_run import RUN_SECONDS, OnARun
from tests.chaos.small_disk import SmallDisk
from tests.chaos.system import Step, System, wait_until

_FULL_SECONDS: Final = 45.0
"""How long the disk stays full at most, unless the execution ends before."""
_FOLDERS: Final[dict[str, Callable[[Settings], Sequence[Path]]]] = {
    "postgres": lambda settings: (settings.postgres_data,),
    "mlflow": lambda settings: (settings.temporary / "mlflow",),
    "localstack": lambda settings: (settings.temporary / "localstack", settings.cloudwatch, settings.stepfunctions),
}
"""All that each server writes to, except its log."""


@dataclass(frozen=True)
class FullDiskOfServer(OnARun):
    """The disk of one server is full while a step works, until the operator makes space."""

    program: str = ""

    def obstacle(self) -> str | None:
        return small_disk.obstacle()

    def inject(self, system: System, step: Step, random: Random) -> Injected:
        before = facts.take(system)
        disk = self._disk(system)
        self._stop(system)
        disk.attach()
        system.up()
        if not wait_until(system.is_healthy, RUN_SECONDS):
            raise NotInjected(f"the platform does not work with {self.program} on a small disk")
        run = system.start(step.stage)
        at = time.monotonic()
        disk.fill()
        time.sleep(random.uniform(0, step.seconds))
        disk.fill()
        with suppress(LocalError, BotoCoreError, ClientError):
            system.finish(run, _FULL_SECONDS)
        return Injected(at, step.name, before, run)

    def repair(self, system: System) -> None:
        self._disk(system).free()
        system.up()

    def put_back(self, system: System) -> None:
        disk = self._disk(system)
        if disk.is_attached:
            self._stop(system)
            disk.detach()
            system.up()

    def _disk(self, system: System) -> SmallDisk:
        return SmallDisk(system.settings, _FOLDERS[self.program](system.settings))

    def _stop(self, system: System) -> None:
        # The mirror's last pass needs LocalStack.
        for program in ("s3-mirror", "localstack") if self.program == "localstack" else (self.program,):
            system.stop_server(program)


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
