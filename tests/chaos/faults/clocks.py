"""Clocks that jump and disagree. Only the servers' own clocks change, never the machine's."""

import time
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

from tests.chaos import facts
from tests.chaos.faults.interface import Injected, NotInjected
from tests.chaos.faults.on_a_run import RUN_SECONDS, OnARun
from tests.chaos.system import Step, System, wait_until

_LIBRARIES: Final = "*-linux-*/faketime/libfaketimeMT.so.1"
_HOURS: Final = 25
"""More than a day, so that dates differ, too."""
_NOTICED_SECONDS: Final = 2.0
"""The library looks at its file every second."""
_OFFSETS: Final = "clock-offset"


@dataclass(frozen=True)
class ClockSkew(OnARun):
    """While a step works, the clocks of Postgres, MLflow, LocalStack and the S3 mirror jump forwards by more than a
    day, then backwards behind the true time, and then to it. The functions and the clients have the true time."""

    def obstacle(self) -> str | None:
        return None if _library() else "libfaketime is not installed (apt-get install libfaketime)"

    def inject(self, system: System, step: Step, random: Random) -> Injected:
        before = facts.take(system)
        _set_clocks(system, 0)
        system.down()
        system.up(
            LD_PRELOAD=str(_library()),
            FAKETIME_TIMESTAMP_FILE=str(_offsets(system)),
            FAKETIME_CACHE_DURATION="1",
            FAKETIME_DONT_FAKE_MONOTONIC="1",
        )
        if not wait_until(system.is_healthy, RUN_SECONDS):
            raise NotInjected("the platform does not work with libfaketime")
        run = system.start(step.stage)
        system.wait_for_task(run, step.state)
        at = time.monotonic()
        for hours in (_HOURS, -_HOURS):
            _set_clocks(system, hours)
            time.sleep(_NOTICED_SECONDS + random.uniform(0, step.seconds))
            if not _is_skewed(system, hours):
                raise NotInjected("the clock of Postgres did not change")
        system.finish(run, RUN_SECONDS)
        return Injected(at, step.name, before, run)

    def repair(self, system: System) -> None:
        _set_clocks(system, 0)

    def put_back(self, system: System) -> None:
        if _offsets(system).exists():
            system.down()
            system.up()
            _offsets(system).unlink()


def _library() -> Path | None:
    return next(Path("/usr/lib").glob(_LIBRARIES), None)


def _offsets(system: System) -> Path:
    return system.settings.directory / _OFFSETS


def _set_clocks(system: System, hours: int) -> None:
    path = _offsets(system)
    path.write_text(f"{3600 * hours:+d}\n")
    path.chmod(0o644)  # Postgres may run as another user


def _is_skewed(system: System, hours: int) -> bool:
    seconds = float(system.query("raw", "SELECT extract(epoch FROM clock_timestamp())")[0][0])
    return abs(seconds - time.time() - 3600 * hours) < 60
