"""Parameters of the template that `make deploy PARAMETERS=…` names; later deployments keep them."""

import json
import shlex
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

import yaml

from infra.local import files
from infra.local.errors import LocalError
from infra.local.settings import ROOT, Settings

_OF_THE_PLATFORM = {
    "ApiKeyValue",
    "Architecture",
    "DataBucketName",
    "MetricsTokenValue",
    "MlflowTrackingUri",
    "PatientKeyValue",
}


class _Parameters(yaml.BaseLoader):
    """Reads a template, with every value as its text; its functions do not matter."""


_Parameters.add_multi_constructor("!", lambda loader, name, node: None)


def read(text: str) -> dict[str, str]:
    """The values in `Name=value Name="value with spaces"`.

    Raises LocalError for what is not a parameter that may be set.
    """
    known = _declared().keys() - _OF_THE_PLATFORM
    found: dict[str, str] = {}
    try:
        parts = shlex.split(text)
    except ValueError as error:
        raise LocalError(f"PARAMETERS cannot be read: {error}") from error
    for part in parts:
        name, separator, value = part.partition("=")
        if name in _OF_THE_PLATFORM:
            raise LocalError(f"The platform itself sets the parameter {name}.")
        if not separator or name not in known:
            raise LocalError(
                f"PARAMETERS has {part!r}, which is not a parameter of template.yaml with its value, such as"
                " PredictionLog=on. docs/configuration.md lists the parameters."
            )
        found[name] = value
    return found


def defaults() -> dict[str, str]:
    """The values of the parameters that have one.

    A deployment names them, because CloudFormation keeps the value before for a parameter that is not named.
    """
    return {name: declared["Default"] for name, declared in _declared().items() if "Default" in declared}


def keep(settings: Settings, values: Mapping[str, str]) -> None:
    """For all deployments until the next call. They may be secret, so that only the owner can read them."""
    if values:
        files.write(_file(settings), json.dumps(values))
    else:
        _file(settings).unlink(missing_ok=True)


def kept(settings: Settings) -> dict[str, str]:
    """Those of the last `keep`; none without one."""
    found: dict[str, str] = json.loads(files.kept(_file(settings)) or "{}")
    return found


def digest(values: Mapping[str, str]) -> str:
    """Tells deployments with these values from those with others; empty without values."""
    return sha256(json.dumps(sorted(values.items())).encode()).hexdigest()[:12] if values else ""


def _declared() -> dict[str, dict[str, str]]:
    """The declarations of the template's parameters."""
    declared: dict[str, dict[str, str]] = yaml.load((ROOT / "template.yaml").read_text(), _Parameters)["Parameters"]
    return declared


def _file(settings: Settings) -> Path:
    return settings.secrets / "parameters.json"
