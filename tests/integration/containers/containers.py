"""Runs a service of compose.yaml without a daemon: its image with buildah, its command, variables and health check."""

import http.client
import json
import os
import re
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from infra.containers.images import ROOT, environment, name
from infra.local.servers import postgres
from infra.local.settings import Settings
from tests.leash import die_with_parent

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "infra" / "containers" / "compose.yaml").read_text())
USER = 10001
START_SECONDS = 120
PORT_VARIABLES = {"ui": "STREAMLIT_SERVER_PORT"}


def buildah(*arguments: str) -> str:
    finished = subprocess.run(["buildah", *arguments], env=environment(), capture_output=True, text=True, check=False)
    assert finished.returncode == 0, f"buildah {arguments}\n{finished.stdout}\n{finished.stderr}"
    return finished.stdout.strip()


def configuration(service: str) -> dict[str, Any]:
    """The image's own: Cmd, Entrypoint, User, Healthcheck and Env."""
    found: dict[str, Any] = json.loads(buildah("inspect", "--type", "image", name(service)))["Docker"]["config"]
    return found


def variables(service: str, settings: Settings, given: Mapping[str, str]) -> dict[str, str]:
    """Those that compose.yaml gives the service, with `given` in place of its `${…}`, and with the addresses of the
    platform of the tests in place of those in the compose network. The servers listen on loopback."""
    database = postgres.owner(settings, "mlflow")
    addresses = {
        "http://127.0.0.1:4566": settings.localstack_url,
        "http://127.0.0.1:5000": settings.mlflow_url,
        "55432": str(database.port),
    }
    secrets = {"DATABASE_USER": database.user, "DATABASE_PASSWORD": database.password}
    found = {}
    for variable, value in COMPOSE["services"][service].get("environment", {}).items():
        text = re.sub(r"\$\{(\w+)[^}]*\}", lambda match: given.get(match[1], ""), str(value))
        for address, real in addresses.items():
            text = text.replace(address, real)
        found[variable] = text
    found |= {variable: value for variable, value in secrets.items() if variable in found}
    return found | {"HOST": "127.0.0.1", "STREAMLIT_SERVER_ADDRESS": "127.0.0.1"}


def listening(service: str, port: int) -> dict[str, str]:
    """On a free port of loopback. The images listen on every address of their own network."""
    variables = {PORT_VARIABLES.get(service, "PORT"): str(port)}
    return variables | ({"GATEWAY_LISTEN": f"127.0.0.1:{port}"} if service == "localstack" else {})


@dataclass
class Container:
    service: str
    id: str
    port: int
    log: Path
    process: subprocess.Popen[bytes]
    seconds: float = 0.0
    """From its start to its first answer."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def is_healthy(self) -> bool:
        """By the health check of its image, run inside."""
        test = configuration(self.service)["Healthcheck"]["Test"]
        assert test[0] == "CMD"
        return self.run(*test[1:]) == 0

    def run(self, *command: str) -> int:
        """The exit code of a command in the container."""
        port = f"{PORT_VARIABLES.get(self.service, 'PORT')}={self.port}"
        finished = subprocess.run(
            ["buildah", "run", "--env", port, self.id, "--", *command],
            env=environment(),
            capture_output=True,
            check=False,
        )
        return finished.returncode

    def written(self) -> list[str]:
        """The files that the server has written, but for those in /tmp. With a read-only root it could not."""
        condition = ["-path", "/tmp", "-prune", "-o", "-user", str(USER), "-print"]
        return buildah("run", "--user", "root", self.id, "--", "find", "/", "-xdev", *condition).splitlines()


@contextmanager
def created(service: str) -> Iterator[str]:
    """A container of the service's image, not started."""
    container = buildah("from", "--pull-never", name(service))
    try:
        yield container
    finally:
        buildah("rm", container)


def command(service: str, container: str, settings: Mapping[str, str], *arguments: str) -> list[str]:
    """Starts the service: the image's command, or that of compose.yaml."""
    image = configuration(service)
    wanted = COMPOSE["services"][service].get("command") or image.get("Cmd")
    words = [*(image.get("Entrypoint") or []), *(arguments or wanted or [])]
    options = [word for variable, value in settings.items() for word in ("--env", f"{variable}={value}")]
    return ["buildah", "run", *options, container, "--", *words]


@contextmanager
def running(service: str, settings: Settings, port: int, folder: Path, **given: str) -> Iterator[Container]:
    """Answers on `port` of loopback: buildah's isolation shares the machine's network. `given` are variables in place
    of those of compose.yaml."""
    own = variables(service, settings, given) | given | listening(service, port)
    with created(service) as container:
        words = command(service, container, own)
        with started(service, container, words, port, folder) as found:
            yield found


@contextmanager
def started(service: str, container: str, words: Sequence[str], port: int, folder: Path) -> Iterator[Container]:
    """A server of the container that `words` start: waits until it answers on `port`, and ends it afterwards."""
    log = folder / f"{service}.log"
    with ExitStack() as ended:
        beginning = time.monotonic()
        with log.open("wb") as output:
            process = subprocess.Popen(
                words,
                env=environment(),
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=die_with_parent(signal.SIGTERM),
            )
        found = Container(service, container, port, log, process)
        ended.callback(_stop, found)
        _wait(found, beginning)
        yield found


def _wait(container: Container, started: float) -> None:
    path = configuration(container.service)["Healthcheck"]["Test"][-1]
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", container.port, timeout=5)
        try:
            connection.request("GET", path)
            if connection.getresponse().status < 500:
                break
        except (OSError, http.client.HTTPException):
            pass
        finally:
            connection.close()
        shown = f"{shlex.join(container.process.args)}\n{container.output()}"  # type: ignore[arg-type]
        assert container.process.poll() is None, f"{container.service} has ended\n{shown}"
        assert time.monotonic() - started < START_SECONDS, f"{container.service} does not answer\n{shown}"
        time.sleep(0.02)
    container.seconds = time.monotonic() - started


def _stop(container: Container) -> None:
    """Every process of its session, and waits for them."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in _session(container.process.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        deadline = time.monotonic() + 15
        while _session(container.process.pid) and time.monotonic() < deadline:
            container.process.poll()
            time.sleep(0.05)
    container.process.wait()


def _session(leader: int) -> list[int]:
    """The processes of the leader's session that have not ended."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            state, _, _, session = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
        except (OSError, ValueError):
            continue
        if int(session) == leader and state != "Z":
            found.append(int(entry.name))
    return found
