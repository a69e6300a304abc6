"""Memory of a process and its descendants, from /proc.

Not psutil: its `children()` reads every process of the machine, 18 ms against 0.05 ms here with 140 processes, and an
invocation is sampled every 50 ms. It also has no peak of the resident size.
"""

import os
import re

_PAGE = os.sysconf("SC_PAGE_SIZE")
_PEAK = re.compile(rb"VmHWM:\s*(\d+) kB")
_PROPORTIONAL = re.compile(rb"\nPss:\s*(\d+) kB")


def peak(pid: int) -> int:
    """Peak resident size of the process in bytes; 0 if it has exited."""
    found = _PEAK.search(_read(f"/proc/{pid}/status"))
    return int(found[1]) * 1024 if found else 0


def tree_resident(root: int, limit: int) -> int:
    """Resident bytes of `root` and all its descendants.

    Up to `limit`, memory that forked processes share may count several times; a result above `limit` counts it once.
    That needs proportional sizes, for which the kernel walks the page tables; plain sizes cost almost nothing.
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
    """Content of a file in /proc; empty if its process has exited."""
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read()
    except (FileNotFoundError, ProcessLookupError):
        return b""
