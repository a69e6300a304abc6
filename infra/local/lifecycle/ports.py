"""Is a port free, and who holds it? Read from /proc, so it finds other users' processes only for root."""

import os
import socket
from pathlib import Path

from infra.local.errors import LocalError

LISTENING = "0A"


def refuse_taken(port: int, variable: str) -> None:
    """Raises LocalError, naming the holder and the setting, when nothing can listen on this loopback port."""
    try:
        with socket.socket() as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind(("127.0.0.1", port))
    except PermissionError:
        raise LocalError(f"Port {port} is reserved for root. Choose one above 1023 by setting {variable}.") from None
    except OSError:
        raise LocalError(
            f"Port {port} is taken by {owner(port) or 'another process'}. "
            f"Stop that, or choose another port by setting {variable}."
        ) from None


def owner(port: int) -> str | None:
    """`name (pid 123)` of the process that listens on this TCP port, None when it cannot be told."""
    sockets = {f"socket:[{inode}]" for inode in _listening_inodes(port)}
    for descriptor in Path("/proc").glob("[0-9]*/fd/*") if sockets else ():
        try:
            target = os.readlink(descriptor)
        except OSError:
            continue  # the process has ended, or belongs to somebody else
        if target in sockets:
            process = descriptor.parents[1]
            return f"{_command(process)} (pid {process.name})"
    return None


def _listening_inodes(port: int) -> set[str]:
    inodes = set()
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        rows = table.read_text().splitlines()[1:] if table.exists() else []
        for columns in map(str.split, rows):
            if columns[3] == LISTENING and int(columns[1].rpartition(":")[2], 16) == port:
                inodes.add(columns[9])
    return inodes


def _command(process: Path) -> str:
    try:
        words = process.joinpath("cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return "a process"
    return " ".join(words).strip()[:80] or "a process"
