"""Ends what tests have started, however the tests end: a second interrupt, SIGTERM and SIGKILL run no fixture's end.

`die_with_parent` is for ordinary child processes. A platform's servers are daemons; for them a process (this module run
as a program) waits for the end of its standard input, which the kernel closes when the tests' process ends, and then
stops the platforms that are left and deletes their folders.
"""

import atexit
import ctypes
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

from infra.local import settings
from infra.local.servers import processes
from infra.local.settings import ROOT

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


def die_with_parent(number: int = signal.SIGKILL) -> Callable[[], None]:
    """A `preexec_fn` for a child that gets this signal when the thread that started it ends."""
    parent = os.getpid()

    def before_exec() -> None:
        if number != signal.SIGKILL:
            # A shell starts its background jobs, and so their children, with SIGINT ignored.
            signal.signal(number, signal.SIG_DFL)
        _libc.prctl(_PR_SET_PDEATHSIG, number)
        if os.getppid() != parent:  # it ended in between
            os.kill(os.getpid(), number)

    return before_exec


def hold(variables: Mapping[str, str]) -> None:
    """Clean up the platform with these settings after the end of this process, unless a test has done it."""
    pipe = _leash().stdin
    assert pipe is not None
    pipe.write(f"{json.dumps(dict(variables))}\n".encode())
    pipe.flush()


@cache
def _leash() -> subprocess.Popen[bytes]:
    """In its own session, so that an interrupt from the terminal does not reach it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.leash"], cwd=ROOT, stdin=subprocess.PIPE, start_new_session=True
    )
    atexit.register(process.communicate)
    return process


def main() -> None:
    held = [json.loads(line) for line in sys.stdin]
    for variables in held:
        # The folder may have been deleted under a running platform: pytest deletes those of its old sessions.
        if (Path(variables["LOCAL_DIR"]) / "run").exists() or processes.ours(settings.load(variables)):
            subprocess.run(
                [sys.executable, "-m", "infra.local", "clean"],
                cwd=ROOT,
                env=os.environ | variables,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                check=False,
            )


if __name__ == "__main__":
    main()
