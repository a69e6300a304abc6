"""supervisord: its configuration, starting it, and asking it.

It listens on a Unix socket in the platform's folder. Such a path may have at most 108 bytes, however deep the
checkout lies, so both sides reach it relative to that folder: the server through its working directory, the
client through an open descriptor.
"""

import http.client
import os
import shlex
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from supervisor.xmlrpc import SupervisorTransport

from infra.local.errors import LocalError
from infra.local.servers.programs import clean_environment
from infra.local.settings import ROOT, Settings

SOCKET = "supervisor.sock"
LOGS = "../logs"

PROGRAM_OPTIONS = {
    # SIGINT is Postgres' fast shutdown: it ends the sessions and writes a checkpoint.
    "postgres": "autorestart=true\nstopsignal=INT\nstopwaitsecs=60\nstartsecs=2",
    # A new LocalStack is empty. Started again silently it would answer as if nothing had been deployed;
    # `up` starts it and puts back what it held.
    "localstack": "autorestart=false\nstopwaitsecs=30\nstartretries=0",
    "s3-mirror": "autorestart=true\nstopwaitsecs=120",
    # All that MLflow knows is in Postgres and S3, so it may come back by itself.
    "mlflow": "autorestart=true\nstopwaitsecs=30\nstartsecs=10",
    "prometheus": "autorestart=true\nstopwaitsecs=30\nstartsecs=2",
}


class NotRunning(LocalError):
    """No supervisord answers in the platform's folder."""


@dataclass(frozen=True)
class State:
    name: str
    pid: int
    """0 when it does not run."""
    started: int
    """Seconds since the epoch."""
    exit_code: int
    """Of its last end; 0 before that."""

    @property
    def runs(self) -> bool:
        return self.name in ("STARTING", "RUNNING", "STOPPING")

    @property
    def may_run(self) -> bool:
        """Also while supervisord waits before it tries again."""
        return self.runs or self.name == "BACKOFF"


def is_running(settings: Settings) -> bool:
    try:
        with _server(settings) as server:
            return bool(server.getState())
    except NotRunning:
        return False


def runs(settings: Settings, program: str) -> bool:
    """Whether the platform has that program, and it runs."""
    return program in settings.programs and is_running(settings) and states(settings)[program].runs


def states(settings: Settings) -> dict[str, State]:
    """Of every program, down if supervisord does not know it: an earlier release may have started it. Raises NotRunning
    when none answers."""
    unknown = {name: State("UNKNOWN", 0, 0, 0) for name in settings.programs}
    with _server(settings) as server:
        return unknown | {
            info["name"]: State(info["statename"], info["pid"], info["start"], info["exitstatus"])
            for info in server.getAllProcessInfo()
        }


def start_program(settings: Settings, name: str) -> None:
    """Returns at once; whether it got ready is for the caller to find out."""
    with _server(settings) as server:
        if server.getProcessInfo(name)["statename"] == "BACKOFF":
            server.stopProcess(name, True)  # ends the waiting between its own attempts
        server.startProcess(name, False)


def stop_program(settings: Settings, name: str) -> None:
    """Waits until it has stopped."""
    with _server(settings) as server:
        server.stopProcess(name, True)


def shut_down(settings: Settings) -> None:
    """Returns at once."""
    with _server(settings) as server:
        server.shutdown()


def start(settings: Settings) -> None:
    """Starts the daemon with no program yet. Raises LocalError when it does not answer within 10 s."""
    configuration = settings.run / "supervisord.conf"
    configuration.write_text(_configuration(settings))
    started = subprocess.run(
        [sys.executable, "-m", "supervisor.supervisord", "-c", str(configuration)],
        cwd=settings.run,
        env=clean_environment(settings),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if started.returncode != 0:
        raise LocalError(f"supervisord did not start:\n{started.stdout}{started.stderr}".rstrip())
    deadline = time.monotonic() + 10
    while not is_running(settings):
        if time.monotonic() > deadline:
            raise LocalError(f"supervisord does not answer; see {settings.log('supervisord')}.")
        time.sleep(0.05)


@contextmanager
def _server(settings: Settings) -> Iterator[Any]:
    try:
        folder = os.open(settings.run, os.O_PATH | os.O_DIRECTORY)
    except FileNotFoundError:
        raise NotRunning(f"There is no platform in {settings.directory}.") from None
    try:
        transport = SupervisorTransport(None, None, f"unix:///proc/self/fd/{folder}/{SOCKET}")
        # The address is only there because xmlrpc wants one; the transport goes to the socket.
        with xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport) as server:
            yield server.supervisor
    except (OSError, http.client.HTTPException):
        raise NotRunning("The platform is down. Start it: make up") from None
    except xmlrpc.client.Fault as fault:
        raise LocalError(f"supervisord: {fault.faultString}") from None
    finally:
        os.close(folder)


def _configuration(settings: Settings) -> str:
    """Its paths are relative to its working directory, so that no character in them has a meaning here."""
    head = f"""\
[supervisord]
logfile={LOGS}/supervisord.log
logfile_maxbytes=1MB
logfile_backups=1
pidfile=supervisord.pid
childlogdir={LOGS}
umask=077

[unix_http_server]
file=/proc/self/cwd/{SOCKET}
chmod=0600

[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
"""
    programs = [_program(name, priority) for priority, name in enumerate(settings.programs, start=1)]
    return "\n".join([head, *programs])


def _program(name: str, priority: int) -> str:
    return f"""\
[program:{name}]
command={_literal(shlex.join([sys.executable, "-m", "infra.local.servers.programs", name]))}
directory={_literal(ROOT)}
priority={priority}
autostart=false
{PROGRAM_OPTIONS[name]}
stopasgroup=true
killasgroup=true
redirect_stderr=true
stdout_logfile={LOGS}/{name}.log
stdout_logfile_maxbytes=10MB
stdout_logfile_backups=2
"""


def _literal(value: object) -> str:
    """supervisord expands %(names)s in its configuration."""
    return str(value).replace("%", "%%")
