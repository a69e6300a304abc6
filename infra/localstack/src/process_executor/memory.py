"""Memory of a process and its descendants, from /proc."""

import os
import re

_PAGE = os.sysconf("SC_PAGE_SIZE")
_PEAK = re.compile(rb"VmHWM:\s*(\d+) kB")
_PROPORTIONAL = re.compile(rb"\nPss:\s*(\d+) kB")


def peak(pid: int) -> int:
    """Largest resident size that the process ever had, bytes; 0 when it has ended."""
    found = _PEAK.search(_read(f"/proc/{pid}/status"))
    return int(found[1]) * 1024 if found else 0


def tree_resident(root: int, limit: int) -> int:
    """Resident bytes of `root` and all its descendants.

    Memory that processes share after a fork may count several times in a result up to `limit`, but once in a
    result above: proportional sizes cost the kernel a walk of the page tables, plain ones nothing.
    """
    pids = _descendants(root)
    resident = sum(_resident(pid) for pid in pids)
    if resident <= limit or len(pids) == 1:
        return resident
    return sum(_proportional(pid) for pid in pids)


def _descendants(root: int) -> list[int]:
    pids = [root]
    for pid in pids:
        pids += _children(pid)
    return pids


def _children(pid: int) -> list[int]:
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except FileNotFoundError:
        return []
    lists = [_read(f"/proc/{pid}/task/{thread}/children") for thread in threads]
    return [int(child) for children in lists for child in children.split()]


def _resident(pid: int) -> int:
    fields = _read(f"/proc/{pid}/statm").split()
    return int(fields[1]) * _PAGE if fields else 0


def _proportional(pid: int) -> int:
    found = _PROPORTIONAL.search(_read(f"/proc/{pid}/smaps_rollup"))
    return int(found[1]) * 1024 if found else 0


def _read(path: str) -> bytes:
    """Content of a file in /proc; empty when its process has ended."""
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read()
    except (FileNotFoundError, ProcessLookupError):
        return b""
