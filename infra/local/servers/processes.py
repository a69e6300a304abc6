"""Finds the platform's processes by their environment, because names are ambiguous and pids are reused; and stops them.

supervisord has a variable with the platform's folder. Every program has its own temporary folder (TMPDIR), and the
temporary folders of its children, Lambda functions included, lie inside it.
"""

import os
import signal
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from infra.local.errors import LocalError
from infra.local.settings import Settings

MARK = "READMISSION_LOCAL_DIR"
"""The environment variable by which the platform's processes are recognised; its value is the platform's folder."""
SUPERVISOR = ""
STOP_ORDER = (SUPERVISOR, "prometheus", "mlflow", "s3-mirror", "localstack", "postgres")
"""supervisord comes first, because it would restart the programs."""
PATIENCE_SECONDS = {
    SUPERVISOR: 250,  # it stops all the others first
    "prometheus": 30,
    "mlflow": 5,
    "s3-mirror": 60,
    "localstack": 5,  # it has nothing to save, and without supervisord it hangs on the closed pipe of its log
    "postgres": 60,
}
"""How long to wait before SIGKILL for programs that only signals can stop."""
ENDED = (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
"""A zombie has ended, too: its parent just has not collected it yet."""


@dataclass(frozen=True)
class Process:
    handle: psutil.Process
    """Equal only to a process with the same pid and start time."""
    parent: int
    program: str
    """The supervised program it belongs to; empty for supervisord itself."""

    @property
    def pid(self) -> int:
        return self.handle.pid

    def alive(self) -> bool:
        try:
            return self.handle.is_running() and self.handle.status() not in ENDED
        except psutil.NoSuchProcess:
            return False

    def send(self, signal_number: int) -> None:
        """Does nothing if the process has ended."""
        with suppress(psutil.NoSuchProcess):
            self.handle.send_signal(signal_number)


def ours(settings: Settings) -> list[Process]:
    """The marked processes and all their descendants, since some children drop their parent's environment."""
    running = {
        process.pid: process
        for process in psutil.process_iter(["ppid", "status"])
        if process.info["status"] not in ENDED
    }
    parents = {pid: process.info["ppid"] for pid, process in running.items()}
    programs = {
        pid: program for pid, process in running.items() if (program := _marked_program(process, settings)) is not None
    }
    while children := {
        pid: programs[parent] for pid, parent in parents.items() if pid not in programs and parent in programs
    }:
        programs |= children
    return [Process(running[pid], parents[pid], program) for pid, program in programs.items() if pid != os.getpid()]


def _marked_program(process: psutil.Process, settings: Settings) -> str | None:
    try:
        environment = process.environ()
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return None  # it has ended, or belongs to another user
    temporary = Path(environment.get("TMPDIR", ""))
    if temporary != settings.temporary and temporary.is_relative_to(settings.temporary):
        return temporary.relative_to(settings.temporary).parts[0]
    return "" if environment.get(MARK) == str(settings.directory) else None


def function_of(process: Process) -> str:
    """The name of the Lambda function that it runs; empty if it runs none, or has ended."""
    try:
        return process.handle.environ().get("AWS_LAMBDA_FUNCTION_NAME", "")
    except psutil.Error:
        return ""


def describe(pid: int | None) -> str:
    """`command (pid 123)`, with as much of the command as can be read."""
    if pid is None:
        return "another process"
    try:
        command = " ".join(psutil.Process(pid).cmdline()).strip()[:80]
    except psutil.Error:
        command = ""
    return f"{command or 'a process'} (pid {pid})"


def roots(processes: Iterable[Process]) -> list[Process]:
    """Those whose parent is not in the list: they receive the stop signal."""
    processes = list(processes)
    pids = {process.pid for process in processes}
    return [process for process in processes if process.parent not in pids]


def wait_until_gone(processes: Iterable[Process], seconds: float) -> list[Process]:
    """Waits at most that long. Returns the processes that are still alive."""
    deadline = time.monotonic() + seconds
    while (left := still_alive(processes)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left


def still_alive(processes: Iterable[Process]) -> list[Process]:
    return [process for process in processes if process.alive()]


def kill(processes: Iterable[Process]) -> None:
    for process in processes:
        process.send(signal.SIGKILL)


def stop_leftovers(leftovers: Sequence[Process]) -> None:
    """Stops processes that have lost their supervisor. Sends SIGTERM or SIGINT first, so that Postgres can write a
    checkpoint and the mirror can make its last pass. Raises LocalError if one cannot be stopped."""
    for program in STOP_ORDER:
        _stop_program(program, [process for process in leftovers if process.program == program])


def _stop_program(program: str, members: list[Process]) -> None:
    stop_signal = signal.SIGINT if program == "postgres" else signal.SIGTERM
    for process in roots(members):
        process.send(stop_signal)
    kill(wait_until_gone(members, PATIENCE_SECONDS[program]))
    if stubborn := wait_until_gone(members, 5):
        pids = ", ".join(str(process.pid) for process in stubborn)
        raise LocalError(f"{program or 'supervisord'} cannot be stopped (pid {pids}).")
