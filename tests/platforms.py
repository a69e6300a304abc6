"""A separate platform for tests: on free ports, in its own folder, operated through the command line."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.local import aws, settings
from infra.local.servers import postgres
from infra.local.settings import ROOT, Settings
from tests import leash


@dataclass(frozen=True)
class Platform:
    variables: dict[str, str]

    @property
    def settings(self) -> Settings:
        return settings.load(self.variables)

    def start(self, *command: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "infra.local", *command],
            cwd=ROOT,
            env=os.environ | self.variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *command: str, exit_code: int = 0, seconds: float = 600) -> str:
        """Its output. The test fails if it ends with another exit code."""
        with self.start(*command) as process:
            try:
                out, err = process.communicate(timeout=seconds)
            except BaseException:
                # The interrupted test cleans up next. This command must not be in its way.
                process.send_signal(signal.SIGINT)
                try:
                    process.communicate(timeout=60)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.communicate()
                raise
        assert process.returncode == exit_code, f"{command}: {process.returncode}\n{out}\n{err}"
        return out + err

    def pids(self) -> dict[str, str]:
        """The servers' pids, by name."""
        rows = (line.split() for line in self.run("status").splitlines()[1:])
        return {row[0]: row[2] for row in rows if row[2].isdigit()}

    def client(self, service: str) -> Any:
        return aws.client(self.settings, service)

    def query(self, database: str, statement: str) -> Any:
        connection = postgres.connect(postgres.owner(self.settings, database), database)
        try:
            return connection.run(statement)
        finally:
            connection.close()

    def empty_databases(self) -> None:
        """Without tables, as `make up` makes them: privileges go with the schema, and are granted again."""
        for database in ("raw", "clean"):
            self.query(database, "DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        postgres.create_databases(self.settings)

    def processes(self) -> list[str]:
        """Every process that refers to the folder, found without the code under test."""
        return [
            f"{entry.name} {(entry / 'cmdline').read_bytes()!r}"
            for entry in Path("/proc").iterdir()
            if entry.name.isdigit() and int(entry.name) != os.getpid() and self._belongs(entry)
        ]

    def _belongs(self, entry: Path) -> bool:
        folder = self.variables["LOCAL_DIR"]
        try:
            if " Z " in (entry / "stat").read_text():
                return False
            texts = [(entry / name).read_bytes() for name in ("cmdline", "environ")]
            return folder.encode() in b"".join(texts) or os.readlink(entry / "cwd").startswith(folder)
        except OSError:
            return False  # it has ended


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def new_platform(folder: Path, **variables: str) -> Platform:
    """Without Prometheus unless `PROMETHEUS` names it. It does not outlive the process of the tests."""
    numbers = map(str, free_ports(len(settings.PORTS)))
    ports = dict(zip(settings.PORTS, numbers, strict=True))
    made = {"LOCAL_DIR": str(folder), "PROMETHEUS": "off", **ports, **variables}
    leash.hold(made)
    return Platform(made)


def prometheus() -> str | None:
    """The path of Prometheus (`PROMETHEUS`, else on the PATH); None if it is not installed."""
    return shutil.which(os.environ.get("PROMETHEUS") or "prometheus")
