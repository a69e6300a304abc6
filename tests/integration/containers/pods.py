"""Runs a container of the manifests for Kubernetes without a cluster: its image with buildah, and its own command,
variables, mounted secrets and probes."""

import http.client
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from infra.containers import images
from infra.kubernetes.manifests import Manifest, manifests
from infra.local.servers import postgres
from infra.local.settings import Settings
from tests.integration.containers import containers
from tests.integration.containers.containers import Container, configuration, created, listening, started
from tests.platforms import free_ports

rendered = cache(manifests)

type Secrets = Mapping[str, Mapping[str, str]]
"""Values by the names of secrets and keys."""


def one(overlay: str, kind: str, name: str) -> Manifest:
    (found,) = [
        manifest for manifest in rendered(overlay) if (manifest["kind"], manifest["metadata"]["name"]) == (kind, name)
    ]
    return found


@dataclass(frozen=True)
class Pod:
    """The pod of a Deployment, with the addresses of the platform of the tests in place of those in the cluster."""

    overlay: str
    name: str
    secrets: Secrets
    settings: Settings

    @property
    def spec(self) -> dict[str, Any]:
        spec: dict[str, Any] = one(self.overlay, "Deployment", self.name)["spec"]["template"]["spec"]
        return spec

    @property
    def container(self) -> dict[str, Any]:
        (container,) = self.spec["containers"]
        assert isinstance(container, dict)
        return container

    def variables(self, container: Mapping[str, Any]) -> dict[str, str]:
        """As Kubernetes resolves them, but for addresses."""
        return {variable["name"]: self._moved(self._value(variable)) for variable in container.get("env", ())}

    def _value(self, variable: Mapping[str, Any]) -> str:
        match variable:
            case {"value": str(value)}:
                return value
            case {"valueFrom": {"configMapKeyRef": {"name": name, "key": key}}}:
                return str(one(self.overlay, "ConfigMap", name)["data"][key])
            case {"valueFrom": {"secretKeyRef": {"name": name, "key": key}}}:
                return self.secrets[name][key]
        raise ValueError(f"{variable} has no value")

    def _moved(self, value: str) -> str:
        database = postgres.owner(self.settings, "mlflow")
        addresses = {
            "http://localstack:4566": self.settings.localstack_url,
            "http://store:7070": self.settings.localstack_url,
            "http://mlflow:5000": self.settings.mlflow_url,
            "postgres-rw": database.host,
            "5432": str(database.port),
        }
        return addresses.get(value, value)

    def mounts(self, folder: Path) -> list[str]:
        """buildah's options for the files of secrets."""
        keys = {volume["name"]: volume["secret"]["secretName"] for volume in self.spec["volumes"] if "secret" in volume}
        options = []
        for mount in self.container["volumeMounts"]:
            if secret := keys.get(mount["name"]):
                files = folder / secret
                files.mkdir(exist_ok=True)
                for key, value in self.secrets[secret].items():
                    (files / key).write_text(value)
                    (files / key).chmod(0o444)
                options += ["--volume", f"{files}:{mount['mountPath']}:ro"]
        return options


@dataclass(frozen=True)
class Running:
    pod: Pod
    container: Container
    ports: dict[str, int]
    """The port of loopback by the name that the manifest gives it."""

    def probe(self, kind: str) -> bool:
        """Whether a probe of the manifest passes, as the kubelet judges it."""
        match self.pod.container[kind]:
            case {"exec": {"command": command}}:
                return self.container.run(*command) == 0
            case {"httpGet": {"path": path, "port": port}}:
                return 200 <= self.status(path, port) < 400
            case {"tcpSocket": {"port": port}}:
                with socket.create_connection(("127.0.0.1", self.ports[port]), timeout=5):
                    return True
        raise ValueError(f"a probe of an unknown kind: {self.pod.container[kind]}")

    def status(self, path: str, port: str = "http", **headers: str) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self.ports[port], timeout=20)
        try:
            connection.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
            return connection.getresponse().status
        finally:
            connection.close()


@contextmanager
def running(pod: Pod, folder: Path, **given: str) -> Iterator[Running]:
    """The pod's only container, on free ports of loopback. `given` are variables in place of the manifest's."""
    container = pod.container
    assert container["image"].rpartition(":")[0].endswith(images.name(pod.name).removeprefix("localhost"))
    declared = {port["name"]: port["containerPort"] for port in container["ports"]}
    ports = dict(zip(declared, free_ports(len(declared)), strict=True))
    moved = {str(declared[name]): str(port) for name, port in ports.items()}
    own = {name: moved.get(value, value) for name, value in pod.variables(container).items()}
    first = next(iter(ports.values()))
    own |= {"HOST": "127.0.0.1", "STREAMLIT_SERVER_ADDRESS": "127.0.0.1"} | listening(pod.name, first) | given
    with created(pod.name) as name:
        words = run(name, own, pod.mounts(folder), container, configuration(pod.name))
        with started(pod.name, name, words, first, folder) as found:
            yield Running(pod, found, ports)


def run(
    name: str,
    own: Mapping[str, str],
    options: list[str],
    container: Mapping[str, Any],
    image: Mapping[str, Any],
) -> list[str]:
    """Runs what Kubernetes would: `command` in place of the image's entry point, `args` in place of its command."""
    entry = container.get("command") or image.get("Entrypoint") or []
    arguments = container.get("args") or ([] if container.get("command") else image.get("Cmd") or [])
    given = [word for variable, value in own.items() for word in ("--env", f"{variable}={value}")]
    return ["buildah", "run", *given, *options, name, "--", *entry, *arguments]


def first(pod: Pod, name: str, **given: str) -> tuple[int, str]:
    """The exit code and the output of an init container of the pod."""
    (container,) = [one for one in pod.spec["initContainers"] if one["name"] == name]
    return _ended(pod, container, [], **given)


def ended(pod: Pod, folder: Path, *command: str) -> tuple[int, str]:
    """The exit code and the output of another command in the pod's container, with its variables and secrets."""
    return _ended(pod, {**pod.container, "command": command}, pod.mounts(folder))


def _ended(pod: Pod, container: Mapping[str, Any], options: list[str], **given: str) -> tuple[int, str]:
    with created(pod.name) as name:
        words = run(name, pod.variables(container) | given, options, container, configuration(pod.name))
        done = subprocess.run(words, env=containers.environment(), capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr
