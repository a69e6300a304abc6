"""All faults."""

from collections.abc import Sequence
from typing import Final

from tests.chaos.faults.clocks import ClockSkew
from tests.chaos.faults.disks import FullDisk, FullDiskOfServer
from tests.chaos.faults.interface import Fault
from tests.chaos.faults.kills import CutConnections, KillPredict, KillServer, KillStep
from tests.chaos.faults.requests import Poison, RunTwice
from tests.chaos.system import STEPS

_TRIED_AGAIN: Final = (
    "forecasts go on; the run succeeds, or fails by name and succeeds when run again; no row lost or doubled"
)
_AFTER_UP: Final = "after make up, all is served as before; the run can be run again; no row lost or doubled"
_SPACE: Final = "when there is space and after make up, all is as before; the run fails by name at most; no row is lost"

FAULTS: Final[Sequence[Fault]] = (
    KillServer("kill-postgres", _TRIED_AGAIN, program="postgres"),
    KillServer("kill-mlflow", _TRIED_AGAIN, program="mlflow"),
    KillServer("kill-localstack", _AFTER_UP, most_failures=None, program="localstack", needs_up=True),
    KillServer("kill-s3-mirror", "nobody notices", must_succeed=True, program="s3-mirror"),
    KillServer("kill-supervisor", _AFTER_UP, most_failures=None, program="supervisor", needs_up=True),
    CutConnections("cut-connections", _TRIED_AGAIN),
    *(
        KillStep(
            f"kill-{step.name}", "forecasts go on; the step runs again and the run succeeds, exactly once", step=step
        )
        for step in STEPS
    ),
    KillPredict("kill-predict", "at most the request in flight fails, and the next is answered", most_failures=1),
    Poison("poison-files", "each file is refused by name; nothing of it is kept"),
    Poison("poison-inputs", "each input is refused by the name of its field; nothing changes", files=False),
    FullDisk("full-disk", "copying S3 stops, and resumes when there is space; nothing is lost"),
    FullDiskOfServer("full-disk-postgres", _SPACE, program="postgres"),
    FullDiskOfServer("full-disk-mlflow", _SPACE, program="mlflow"),
    FullDiskOfServer("full-disk-localstack", _SPACE, most_failures=None, program="localstack"),
    ClockSkew("clock-skew", "forecasts go on; the run succeeds, exactly once; nothing is lost", must_succeed=True),
    RunTwice("run-twice", "two executions of one source at once succeed; no row lost or doubled", must_succeed=True),
)
