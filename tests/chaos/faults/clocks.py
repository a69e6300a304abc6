"""Clocks that jump and disagree. Only the servers' own clocks change, never the machine's."""

import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

from infra.local.errors import LocalError
from tests.chaos import facts
from tests.chaos.faults.interface import Injected, NotInjected
from tests.chaos.faults.on_a_run import RUN_SECONDS, OnARun
from tests.chaos.system import Step, System, wait_until

_SOURCE: Final = Path(__file__).parents[1] / "clock.c"
_HOURS: Final = 25
"""More than a day, so that dates differ, too."""
_NOTICED_SECONDS: Final = 2.0
"""A process looks for its offset every second."""
_FOLDER: Final = "chaos-clock"


@dataclass(frozen=True)
class ClockSkew(OnARun):
    """While a step works, the clocks of Postgres, MLflow, LocalStack and the S3 mirror jump forwards by more than a
    day, then backwards behind the true time, and then to it. The functions and the clients have the true time."""

    def obstacle(self) -> str | None:
        return None if shutil.which("cc") else "there is no C compiler (apt-get install gcc libc6-dev)"

    def inject(self, system: System, step: Step, random: Random) -> Injected:
        if " " in str(_folder(system)) or ":" in str(_folder(system)):
            raise NotInjected("LD_PRELOAD cannot name a file in a folder whose path has spaces or colons")
        before = facts.take(system)
        library = build(_folder(system))
        system.down()
        system.up(LD_PRELOAD=str(library))
        if not wait_until(system.is_healthy, RUN_SECONDS):
            raise NotInjected(f"the platform does not work with {library}")
        run = system.start(step.stage)
        system.wait_for_task(run, step.state)
        at = time.monotonic()
        for hours in (_HOURS, -_HOURS):
            set_offset(_folder(system), 3600 * hours)
            time.sleep(_NOTICED_SECONDS + random.uniform(0, step.seconds))
            if not _is_skewed(system, hours):
                raise NotInjected("the clock of Postgres did not change")
        system.finish(run, RUN_SECONDS)
        return Injected(at, step.name, before, run)

    def repair(self, system: System) -> None:
        set_offset(_folder(system), 0)

    def put_back(self, system: System) -> None:
        if _folder(system).exists():
            set_offset(_folder(system), 0)
            system.down()
            system.up()
            shutil.rmtree(_folder(system))


def build(folder: Path) -> Path:
    """The library, in this folder, with an offset of 0. Raises LocalError if it cannot be compiled."""
    folder.mkdir(mode=0o755, exist_ok=True)
    library = folder / "clock.so"
    set_offset(folder, 0)
    command = [
        "cc",
        "-shared",
        "-fPIC",
        "-O2",
        f'-DOFFSET_FILE="{folder / "offset"}"',
        "-o",
        str(library),
        str(_SOURCE),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise LocalError(f"{_SOURCE} cannot be compiled: {done.stderr.strip()}")
    for path in (folder, library):
        path.chmod(0o755)  # Postgres may run as another user
    return library


def set_offset(folder: Path, seconds: int) -> None:
    """How far the clocks of the processes that have loaded the library are ahead."""
    path = folder / "offset"
    path.write_text(f"{seconds}\n")
    path.chmod(0o644)


def _folder(system: System) -> Path:
    return system.settings.directory / _FOLDER


def _is_skewed(system: System, hours: int) -> bool:
    seconds = float(system.query("raw", "SELECT extract(epoch FROM clock_timestamp())")[0][0])
    return abs(seconds - time.time() - 3600 * hours) < 60
