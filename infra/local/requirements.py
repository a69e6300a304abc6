"""What the first installation needs: `python -m infra.local.requirements`, which uses only the standard library.

Says it, and checks what it can, before minutes of downloading.
"""

import argparse
import os
import shutil
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from infra.local import settings, uci
from infra.local.errors import LocalError
from infra.local.settings import ROOT, Settings

DISK_GB = 5
MEMORY_GB = 4
NEEDS = f"""\
setup       The first installation takes 2 to 10 minutes, depending on the network. It needs
            - {DISK_GB} GB on the disk: packages 2.1 GB, their cache, the application and its data
            - {MEMORY_GB} GB of memory to run and train
            - the network: PyPI (or the index that PIP_INDEX_URL and UV_DEFAULT_INDEX name), and
              archive.ics.uci.edu for the data, unless you give DATASET=
            - the ports {{ports}} on 127.0.0.1; the variables {{variables}} set others"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Exits 1 if something is missing."""
    parser = argparse.ArgumentParser(prog="python -m infra.local.requirements", description=__doc__)
    parser.add_argument("--uci", action="store_true", help="look whether the UCI archive can be reached")
    asked = parser.parse_args(arguments)
    try:
        loaded = settings.load()
    except LocalError as error:
        print(error, file=sys.stderr)
        return 1
    ports = _ports(loaded)
    needs = NEEDS.format(ports=", ".join(map(str, ports.values())), variables=", ".join(ports))
    print(needs, file=sys.stderr, flush=True)
    for warning in (*memory_warnings(), *port_warnings(loaded)):
        print(f"            Warning: {warning}", file=sys.stderr, flush=True)
    if asked.uci and (problem := uci.problem()):
        print(f"            Warning: the UCI archive {problem}\n{uci.WITHOUT}", file=sys.stderr, flush=True)
    problems = missing()
    for problem in problems:
        print(problem, file=sys.stderr)
    return int(bool(problems))


def missing(
    system: str = sys.platform,
    free: Callable[[Path], int] = lambda folder: shutil.disk_usage(folder).free,
) -> list[str]:
    """What the installation cannot do without, one sentence each."""
    problems = []
    if system != "linux":
        problems.append(f"The local platform needs Linux (it reads /proc), not {system}.")
    if (left := free(ROOT)) < DISK_GB << 30:
        problems.append(f"The disk of {ROOT} has {left / (1 << 30):.1f} GB left. Make space, or clone to another disk.")
    return problems


def port_warnings(loaded: Settings) -> list[str]:
    """Installing works nevertheless, but starting the platform will not. Empty if the platform itself runs."""
    if settings.recorded(loaded.directory):
        return []
    return [
        f"port {port} is in use. Stop what uses it, or set {variable} to another port."
        for variable, port in _ports(loaded).items()
        if _is_taken(port)
    ]


def memory_warnings(memory: Path = Path("/proc/meminfo")) -> list[str]:
    """Whether the memory may turn out too little."""
    try:
        lines = dict(line.split(":", 1) for line in memory.read_text().splitlines())
        available = int(lines["MemAvailable"].split()[0]) << 10
    except (OSError, KeyError, ValueError):
        return []
    if available >= MEMORY_GB << 30:
        return []
    return [f"only {available / (1 << 30):.1f} GB of memory is available. Trainings may be killed."]


def _ports(loaded: Settings) -> dict[str, int]:
    if loaded.external_servers:
        return {}
    own = {} if loaded.external_database else {"POSTGRES_PORT": loaded.postgres_port}
    return own | {"MLFLOW_PORT": loaded.mlflow_port, "LOCALSTACK_PORT": loaded.localstack_port}


def _is_taken(port: int) -> bool:
    """Like `lifecycle.ports`, which names the holder but needs a package."""
    try:
        with socket.socket() as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind(("127.0.0.1", port))
    except PermissionError:
        return False  # `up` says that the port is reserved for root
    except OSError:
        return True
    return False


if __name__ == "__main__":
    os.chdir(ROOT)
    sys.exit(main())
