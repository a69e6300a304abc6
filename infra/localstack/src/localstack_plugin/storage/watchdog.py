"""Kills the processes of execution environments and, run as a program, cleans up after LocalStack.

    watchdog.py <working folder>

waits for the end of its standard input, then kills every process of the working folder and removes the folder. It
imports only the standard library, so a bare interpreter (-I -S) can run it.

A process belongs to an execution environment if its TMPDIR is inside the environment's folder. Child processes inherit
that variable. Unlike parents, process groups and sessions, this mark survives daemons that detach themselves, and it
needs no records, which a `kill -9` of LocalStack could leave incomplete.

The scan reads /proc directly: with psutil it takes 1.6 to 2.2 times as long, and every timeout and crash waits for it.
"""

import contextlib
import os
import shutil
import signal
import sys
import time

ENVIRONMENTS = "environments"


def kill_processes(folder: str) -> None:
    """Kill all processes whose TMPDIR is `folder` or below it, and their sessions, until none is left."""
    while found := _processes_of(folder):
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.002)


def _processes_of(folder: str) -> set[int]:
    pids = [int(name) for name in os.listdir("/proc") if name.isdecimal()]
    marked = {pid for pid in pids if _has_tmpdir(pid, folder)}
    # A child that cleared its environment is still in the session of its marked parent.
    sessions = {_session(pid) for pid in marked} - {None}
    return marked | {pid for pid in pids if _session(pid) in sessions and not _is_zombie(pid)}


def _has_tmpdir(pid: int, folder: str) -> bool:
    mark = f"TMPDIR={folder}".encode()
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            variables = file.read().split(b"\0")
    except OSError:  # it has exited, or belongs to another user
        return False
    return any(variable == mark or variable.startswith(mark + b"/") for variable in variables)


def _session(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return None


def _is_zombie(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] in (b"Z", b"X")
    except OSError:
        return True


def main(folder: str) -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    kill_processes(os.path.join(folder, ENVIRONMENTS))
    shutil.rmtree(folder)


if __name__ == "__main__":
    main(sys.argv[1])
