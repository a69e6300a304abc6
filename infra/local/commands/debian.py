"""Finds or installs programs that Debian packages but PyPI does not."""

import os
import shlex
import shutil
import subprocess
from pathlib import Path

from infra.local.errors import LocalError
from infra.local.terminal import step

SERVICES = {"prometheus": "prometheus.service"}
"""The systemd service that a package starts. The platform starts its programs itself, so it is disabled."""


def ensure(package: str) -> str:
    """The path of the program with the package's name, which root installs if it is missing.

    Raises LocalError with the command to run if the user is not root, or with the output of a failed apt-get.
    """
    if found := shutil.which(package):
        return found
    command = ["apt-get", "install", "-y", "--no-install-recommends", package]
    if not shutil.which("apt-get"):
        raise LocalError(
            f"{package} is not installed, and this machine has no apt-get. Install {package} and put it on the PATH."
        )
    if os.geteuid() != 0:
        raise LocalError(f"{package} is not installed. Install it: sudo {shlex.join(command)}")
    with step(package, f"installing the Debian package ({shlex.join(command)})") as outcome:
        _run(["apt-get", "update"])
        _run(command)
        _disable_service(package)
        outcome.text = "installed"
    if found := shutil.which(package):
        return found
    raise LocalError(f"The Debian package {package} is installed, but {package} is not on the PATH.")


def _disable_service(package: str) -> None:
    if package in SERVICES and Path("/run/systemd/system").is_dir():
        _run(["systemctl", "disable", "--now", SERVICES[package]])


def _run(command: list[str]) -> None:
    finished = subprocess.run(
        command,
        env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if finished.returncode:
        tail = "\n".join(finished.stdout.splitlines()[-10:])
        raise LocalError(f"`{shlex.join(command)}` failed:\n{tail}")
