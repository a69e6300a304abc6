"""Which processes are ours, known by their environment and not by a name or a recycled number: the platform's
folder stands in a variable of supervisord's, and every program has a temporary folder of its own (TMPDIR),
which its children, Lambda functions too, have theirs inside of."""

import os
import signal
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from infra.local.servers.programs import MARK
from infra.local.settings import Settings


@dataclass(frozen=True)
class Process:
    pid: int
    started: int
    """Clock ticks since boot: with it a recycled pid is not taken for the same process."""
    parent: int
    program: str
    """The supervised program it belongs to; empty for supervisord itself."""

    def alive(self) -> bool:
        stat = _stat(self.pid)
        return stat is not None and stat.started == self.started

    def send(self, signal_number: int) -> None:
        if self.alive():
            try:
                os.kill(self.pid, signal_number)
            except ProcessLookupError:
                return  # it ended just now, which is what was wanted


@dataclass(frozen=True)
class _Stat:
    parent: int
    started: int


def _stat(pid: int) -> _Stat | None:
    """None for a process that has ended, also when nobody has collected it yet (a zombie)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else _Stat(parent=int(fields[1]), started=int(fields[19]))


def ours(settings: Settings) -> list[Process]:
    """The marked processes and all their descendants: not every child keeps its parent's environment."""
    stats = {pid: stat for pid in _pids() if (stat := _stat(pid))}
    programs = {pid: program for pid in stats if (program := _marked_program(pid, settings)) is not None}
    unsettled = True
    while unsettled:
        children = {
            pid: programs[stat.parent] for pid, stat in stats.items() if pid not in programs and stat.parent in programs
        }
        programs |= children
        unsettled = bool(children)
    return [
        Process(pid, stats[pid].started, stats[pid].parent, program)
        for pid, program in programs.items()
        if pid != os.getpid()
    ]


def _pids() -> Iterable[int]:
    return (int(entry) for entry in os.listdir("/proc") if entry.isdigit())


def _marked_program(pid: int, settings: Settings) -> str | None:
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return None  # ended, or somebody else's
    prefix = f"TMPDIR={settings.temporary}/".encode()
    folders = (item[len(prefix) :] for item in environment if item.startswith(prefix))
    program = next((folder.split(b"/")[0].decode() for folder in folders), None)
    marked = f"{MARK}={settings.directory}".encode() in environment
    return program or ("" if marked else None)


def roots(processes: Iterable[Process]) -> list[Process]:
    """Those whose parent is not among them: the ones to send a stop signal to."""
    processes = list(processes)
    pids = {process.pid for process in processes}
    return [process for process in processes if process.parent not in pids]


def wait_until_gone(processes: Iterable[Process], seconds: float) -> list[Process]:
    """Waits at most that long; returns what is left then."""
    deadline = time.monotonic() + seconds
    while (left := still_alive(processes)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left


def still_alive(processes: Iterable[Process]) -> list[Process]:
    return [process for process in processes if process.alive()]


def kill(processes: Iterable[Process]) -> None:
    for process in processes:
        process.send(signal.SIGKILL)
