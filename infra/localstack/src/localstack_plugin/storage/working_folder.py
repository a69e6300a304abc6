"""The folder that holds everything this LocalStack writes for functions and S3, guarded by a watchdog."""

import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

from localstack_plugin.storage import watchdog


class WorkingFolder:
    """A new folder in the temporary directory; `close` or the end of LocalStack removes it.

    The watchdog is a process in its own session that waits for the end of its standard input. The kernel closes the
    other end of that pipe even if LocalStack is killed.
    """

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="localstack-lambda-"))
        self._watchdog = subprocess.Popen(
            [sys.executable, "-I", "-S", watchdog.__file__, str(self.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            env={},
            cwd="/",
            start_new_session=True,
        )

    def close(self) -> None:
        """Kill the processes that still run in the folder, remove it, and wait for both; raises RuntimeError."""
        self._watchdog.communicate()
        if self._watchdog.returncode:
            raise RuntimeError(f"The watchdog of {self.path} exited with status {self._watchdog.returncode}")

    def environment(self, environment_id: str) -> Path:
        """Private folder of one execution environment: its TMPDIR, which also marks its processes."""
        return self.path / watchdog.ENVIRONMENTS / environment_id


@cache
def working_folder() -> WorkingFolder:
    """The working folder of this LocalStack."""
    return WorkingFolder()
