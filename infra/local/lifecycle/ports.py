"""Checks that a port is free, and finds out who holds it."""

import socket

import psutil

from infra.local.errors import LocalError
from infra.local.servers import processes


def refuse_taken(port: int, variable: str) -> None:
    """Raises LocalError if nothing can listen on this loopback port; it names the holder and the variable to set."""
    try:
        with socket.socket() as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind(("127.0.0.1", port))
    except PermissionError:
        raise LocalError(f"Port {port} is reserved for root. Set {variable} to a port above 1023.") from None
    except OSError:
        raise LocalError(
            f"Port {port} is in use by {owner(port) or 'another process'}. "
            f"Stop that process, or set {variable} to another port."
        ) from None


def owner(port: int) -> str | None:
    """`command (pid 123)` of the process that listens on this TCP port, None if unknown.

    Only root can see which sockets the processes of other users hold.
    """
    for connection in psutil.net_connections(kind="tcp"):
        listens = connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port
        if listens and connection.pid:
            return processes.describe(connection.pid)
    return None
