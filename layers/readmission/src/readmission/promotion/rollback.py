"""Puts an earlier version back into Production at an operator's request."""

from typing import Any, Final

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from pg8000.native import Connection

from readmission.domain.payloads import RollbackResult
from readmission.errors import InvalidRequest, ScorerInvalid
from readmission.promotion import alias, ledger, versions
from readmission.registry.mlflow_client import find_version, reachable, version_in_production
from readmission.settings import ModelSettings

NO_REASON: Final = "no reason given"


def rollback(request: Any, clean: Connection, settings: ModelSettings) -> RollbackResult:
    """Put the version named in a `RollbackRequest`, or the one before the current version, into Production.

    Raises `InvalidRequest` if there is no such version, it is in Production already, or its scorer cannot be served;
    and `TrackingUnavailable`.
    """
    number, reason = _parsed(request)
    with reachable(settings), ledger.exclusive(clean, settings.name):
        client = MlflowClient(settings.tracking_uri)
        alias.settle(client, clean, settings.name)
        current = version_in_production(client, settings.name)
        if current is None:
            raise InvalidRequest(f"no version of {settings.name!r} is in Production: there is nothing to roll back")
        target = _target(client, number or _predecessor(clean, current), current, settings)
        entry = ledger.append(clean, versions.ledger_entry(target, current, "rolled back", reason))
        alias.carry_out(client, target, entry)
        return RollbackResult(version=str(target.version), previous_version=str(current.version), reason=reason)


def _parsed(request: Any) -> tuple[str | None, str]:
    """The number of the version, or None for the one before, and the reason."""
    if not isinstance(request, dict):
        raise InvalidRequest("'rollback' must be an object with the optional fields 'version' and 'reason'")
    if unknown := set(request) - {"version", "reason"}:
        raise InvalidRequest(f"'rollback' has unknown fields: {', '.join(sorted(map(str, unknown)))}")
    version, reason = request.get("version"), request.get("reason")
    if version is not None and not (isinstance(version, str) and version.isdecimal() and version.isascii()):
        raise InvalidRequest(f"'version' must be a version number as a string, not {version!r}")
    if reason is not None and not isinstance(reason, str):
        raise InvalidRequest(f"'reason' must be a string, not {reason!r}")
    return (str(int(version)) if version else None), (reason or "").strip() or NO_REASON


def _predecessor(clean: Connection, current: ModelVersion) -> str:
    number = ledger.predecessor_of(clean, current.name, str(current.version))
    if number is None:
        raise InvalidRequest(f"the ledger has no version before {current.version}; name the version to roll back to")
    return number


def _target(client: MlflowClient, number: str, current: ModelVersion, settings: ModelSettings) -> ModelVersion:
    """The version with that number, if it can be served."""
    if number == str(current.version):
        raise InvalidRequest(f"version {number} is in Production already")
    version = find_version(client, settings.name, number)
    if version is None:
        raise InvalidRequest(f"there is no version {number} of {settings.name!r}")
    try:
        versions.scorer_of(client, version, settings)
    except ScorerInvalid as error:
        raise InvalidRequest(f"version {number} of {settings.name!r} cannot be served: {error}") from error
    return version
