"""The folder that holds everything this LocalStack writes for functions and S3, guarded by a watchdog."""

import subprocess
import sys
import tempfile
from pathlib import Path

from process_executor import watchdog


class WorkingFolder:
    """A new folder in the temporary directory, removed by `close` or when LocalStack ends in any way.

    The watchdog is a process of its own session that waits for the end of its standard input. The kernel
    closes the other end of that pipe even when LocalStack is killed.
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
        """Kill what still runs in the folder and remove it; returns when that is done, raises if it failed."""
        self._watchdog.communicate()
        if self._watchdog.returncode:
            raise RuntimeError(f"The watchdog of {self.path} ended with {self._watchdog.returncode}")

    def environment(self, environment_id: str) -> Path:
        """Private folder of one execution environment: its TMPDIR and the mark of its processes."""
        return self.path / watchdog.ENVIRONMENTS / environment_id
