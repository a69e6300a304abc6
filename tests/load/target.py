"""The load test's target: the local platform's API unless a URL is given, and never another machine by accident."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from infra.local import settings, stack
from infra.local.errors import LocalError


@dataclass(frozen=True, slots=True)
class Target:
    """The API's address, its key, and the CA file that verifies its certificate (None: the system's)."""

    url: str
    key: str
    ca_file: str | None


def find(url: str | None, environment: Mapping[str, str] = os.environ) -> Target:
    """The API at `url`; else the one of API_URL; else the deployed one of the running platform.

    Raises LocalError for an invalid address, for another machine's address that came from the environment only, and
    when API_KEY is missing.
    """
    known = url or environment.get("API_URL")
    if not known:
        return _platform(environment)
    parts = urlsplit(known)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise LocalError(f"{'URL' if url else 'API_URL'} must be an address such as https://host/v1, not {known!r}.")
    here = _is_loopback(parts.hostname)
    if not (url or here):
        raise LocalError(f"API_URL is {known}, another machine. To load it anyway: make load-test URL={known}")
    if not environment.get("API_KEY"):
        raise LocalError(f"API_KEY is not set, and {known} needs one.")
    # The emulator's certificate does not apply to another machine.
    return Target(known.rstrip("/"), environment["API_KEY"], (environment.get("API_CA") or None) if here else None)


def _platform(environment: Mapping[str, str]) -> Target:
    running = settings.load(environment)
    deployed = stack.get(running)
    return Target(deployed.api_url, deployed.api_key, str(running.certificate))


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
