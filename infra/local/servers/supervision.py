"""supervisord: its configuration, its start, and its XML-RPC interface.

It listens on a Unix socket in the platform's folder. A socket's path has at most 108 bytes, and the checkout may be in
a deep folder. Therefore both sides use a relative path: the server starts from its working directory, the client from
an open descriptor of the folder.
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
CONFIGURATION = "supervisord.conf"
LAUNCHER = "infra.local.servers.programs"
"""The module that becomes a program."""
LOGS = "../logs"

PROGRAM_OPTIONS = {
    # SIGINT is Postgres' fast shutdown: it closes the sessions and writes a checkpoint.
    "postgres": "autorestart=true\nstopsignal=INT\nstopwaitsecs=60\nstartsecs=2",
    # A new LocalStack is empty. Restarted automatically, it would answer as if nothing had been deployed. `up` starts
    # it and restores its contents.
    "localstack": "autorestart=false\nstopwaitsecs=30\nstartretries=0",
    "s3-mirror": "autorestart=true\nstopwaitsecs=120",
    # MLflow keeps everything in Postgres and S3, so it can restart at any time.
    "mlflow": "autorestart=true\nstopwaitsecs=30\nstartsecs=10",
    "prometheus": "autorestart=true\nstopwaitsecs=30\nstartsecs=2",
}


EXTERNAL = ("localstack", "mlflow")
"""The programs that others run if `SERVERS` is `external`."""


class NotRunning(LocalError):
    """supervisord does not answer in the platform's folder."""


@dataclass(frozen=True)
class State:
    name: str
    pid: int
    """0 if it is not running."""
    started: int
    """Seconds since the epoch."""
    exit_code: int
    """Of the last run that ended; 0 if none has."""

    @property
    def runs(self) -> bool:
        return self.name in ("STARTING", "RUNNING", "STOPPING")

    @property
    def may_run(self) -> bool:
        """Includes the pause before supervisord tries again."""
        return self.runs or self.name == "BACKOFF"


def is_running(settings: Settings) -> bool:
    try:
        with _server(settings) as server:
            return bool(server.getState())
    except NotRunning:
        return False


def runs(settings: Settings, program: str) -> bool:
    """Whether the platform includes that program and it is running."""
    if not is_running(settings):
        return False
    state = states(settings).get(program)
    return state is not None and state.runs


def states(settings: Settings) -> dict[str, State]:
    """The state of every program. Raises NotRunning if supervisord does not answer.

    External servers count as running: whether they answer, `ready` says.
    """
    external = {name: State("RUNNING", 0, 0, 0) for name in EXTERNAL if settings.external_servers}
    # An earlier release may have started supervisord without one of the programs.
    unknown = {name: State("UNKNOWN", 0, 0, 0) for name in settings.programs}
    with _server(settings) as server:
        return (
            unknown
            | external
            | {
                info["name"]: State(info["statename"], info["pid"], info["start"], info["exitstatus"])
                for info in server.getAllProcessInfo()
            }
        )


def start_program(settings: Settings, name: str) -> None:
    """Returns immediately; `ready.wait` waits until the program is ready."""
    _refuse_other_release(settings)
    with _server(settings) as server:
        if server.getProcessInfo(name)["statename"] == "BACKOFF":
            server.stopProcess(name, True)  # cancels supervisord's own retries
        server.startProcess(name, False)


def _refuse_other_release(settings: Settings) -> None:
    """Raises LocalError if the running supervisord was configured by a release whose launcher is elsewhere."""
    if LAUNCHER not in (settings.run / CONFIGURATION).read_text():
        raise LocalError("Another release started this platform. Restart it: make down, then make up. All data stays.")


def stop_program(settings: Settings, name: str) -> None:
    """Returns when the program has stopped."""
    with _server(settings) as server:
        server.stopProcess(name, True)


def shut_down(settings: Settings) -> None:
    """Returns immediately."""
    with _server(settings) as server:
        server.shutdown()


def start(settings: Settings) -> None:
    """Starts the daemon, but no program yet. Raises LocalError if it does not answer within 10 s."""
    configuration = settings.run / CONFIGURATION
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
            raise LocalError(f"supervisord does not answer. See {settings.log('supervisord')}")
        time.sleep(0.05)


@contextmanager
def _server(settings: Settings) -> Iterator[Any]:
    try:
        folder = os.open(settings.run, os.O_PATH | os.O_DIRECTORY)
    except FileNotFoundError:
        raise NotRunning(f"There is no platform in {settings.directory}.") from None
    try:
        transport = SupervisorTransport(None, None, f"unix:///proc/self/fd/{folder}/{SOCKET}")
        # xmlrpc requires an address, but the transport connects to the socket.
        with xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport) as server:
            yield server.supervisor
    except (OSError, http.client.HTTPException):
        raise NotRunning("The platform is down. Start it: make up") from None
    except xmlrpc.client.Fault as fault:
        raise LocalError(f"supervisord: {fault.faultString}") from None
    finally:
        os.close(folder)


def _configuration(settings: Settings) -> str:
    """With paths relative to the working directory, so that special characters in them need no escaping."""
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
command={_literal(shlex.join([sys.executable, "-m", LAUNCHER, name]))}
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
    """Escapes `%`, because supervisord expands %(names)s in its configuration."""
    return str(value).replace("%", "%%")
