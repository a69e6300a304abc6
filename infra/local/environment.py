"""Keeps the caller's environment from sending the clients of the local platform elsewhere.

Proxies stay, because the installation of packages and the download of data may need them, but no client uses one for
this machine. Settings of AWS and MLflow clients (profiles, endpoints, regions, credentials) do not stay.
"""

import os
from collections.abc import Mapping, MutableMapping

from infra.local.settings import DEFAULTS

FOREIGN = ("AWS_", "MLFLOW_")
"""Prefixes of the variables by which a client of AWS or MLflow chooses its server, its login or its region."""
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
DIRECT = ("127.0.0.1", "localhost", "::1")

_EVERY_HOST = "*"


def foreign(caller: Mapping[str, str]) -> list[str]:
    """The names of the caller's variables that point clients of AWS or MLflow elsewhere."""
    return sorted(name for name in caller if _is_foreign(name))


def proxies(caller: Mapping[str, str]) -> dict[str, str]:
    """The caller's proxies, in upper and lower case: curl reads `http_proxy`, other programs read `HTTP_PROXY`."""
    found: dict[str, str] = {}
    for name in PROXIES:
        if value := caller.get(name.lower()) or caller.get(name):
            found |= {name: value, name.lower(): value}
    return found


def direct(caller: Mapping[str, str]) -> dict[str, str]:
    """NO_PROXY and no_proxy, with this machine added to the caller's hosts."""
    given = ",".join((caller.get("NO_PROXY", ""), caller.get("no_proxy", ""))).split(",")
    hosts = {host.strip() for host in given} - {""}
    # The asterisk counts only if it is alone.
    value = _EVERY_HOST if _EVERY_HOST in hosts else ",".join(sorted(hosts | set(DIRECT)))
    return {"NO_PROXY": value, "no_proxy": value}


def without_files() -> dict[str, str]:
    """Makes AWS clients ignore ~/.aws."""
    return {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}


def isolated(caller: Mapping[str, str]) -> dict[str, str]:
    """The caller's environment for programs that use the local platform."""
    ours = {name: value for name, value in caller.items() if not _is_foreign(name)}
    return ours | direct(caller) | without_files()


def _is_foreign(name: str) -> bool:
    """The platform's own settings are not, MLFLOW_PORT among them."""
    return name.startswith(FOREIGN) and name not in DEFAULTS


def isolate(environment: MutableMapping[str, str] = os.environ) -> None:
    """Changes this process's environment, which its child processes inherit, to the isolated one."""
    wanted = isolated(environment)
    for name in foreign(environment):
        del environment[name]
    environment.update(wanted)
