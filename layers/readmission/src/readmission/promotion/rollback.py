"""Puts an earlier version back into Production at an operator's request."""

from dataclasses import dataclass, replace
from typing import Any, Final, Self

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from pg8000.native import Connection

from readmission.domain.payloads import LONGEST_NAME, RollbackResult
from readmission.errors import (
    AlreadyInProduction,
    InvalidRequest,
    NothingToRollBack,
    RollbackNeedsForce,
    ScorerInvalid,
    VersionNotFound,
    VersionUnusable,
)
from readmission.promotion import alias, ledger, undecided, versions
from readmission.promotion.incumbent import Incumbent
from readmission.registry import names
from readmission.registry.mlflow_client import find_version, reachable
from readmission.settings import ModelSettings

_FIELDS: Final = ("by", "force", "reason", "version")
_LONGEST: Final = {"reason": 1000, "by": LONGEST_NAME}  # characters


def rollback(request: Any, clean: Connection, settings: ModelSettings) -> RollbackResult:
    """Put the version named in a `RollbackRequest`, or the one before the current version, into Production.

    Without a version in Production, the current version is the one that served last by the ledger. Raises
    `InvalidRequest`, the subclasses of `RollbackRefused`, and `TrackingUnavailable`.
    """
    asked = _Request.parse(request)
    with reachable(settings), ledger.exclusive(clean, settings.name):
        client = MlflowClient(settings.tracking_uri)
        alias.settle(client, clean, settings.name)
        current = Incumbent.find(client, clean, settings.name)
        if current is None:
            raise NothingToRollBack(
                f"no version of {settings.name!r} has been in Production: there is nothing to roll back"
            )
        undecided.refuse(client, clean, settings.name, current)
        target = _Target.find(client, clean, settings, asked.version, current)
        objections = target.objections(current)
        if objections and not asked.force:
            raise RollbackNeedsForce(f"{'; '.join(objections)}. To roll back nevertheless: FORCE=1, or 'force': true")
        entry = versions.ledger_entry(target.version, current.number, "rolled back", asked.reason, "by_hand")
        entry = ledger.append(clean, replace(entry, decided_by=asked.by, forced=bool(objections)))
        alias.carry_out(client, target.version, entry)
        return RollbackResult(
            version=entry.version,
            previous_version=current.number,
            reason=asked.reason,
            by=asked.by,
            forced=entry.forced,
        )


@dataclass(frozen=True, slots=True)
class _Request:
    """A validated request; `version` is None for the one before."""

    version: str | None
    reason: str
    by: str
    force: bool

    @classmethod
    def parse(cls, request: Any) -> Self:
        if not isinstance(request, dict):
            raise InvalidRequest(
                "'rollback' must be an object with 'reason', 'by' and optionally 'version' and 'force'"
            )
        if unknown := set(request) - set(_FIELDS):
            raise InvalidRequest(f"'rollback' has unknown fields: {', '.join(sorted(map(str, unknown)))}")
        version, force = request.get("version"), request.get("force")
        if version is not None and not (isinstance(version, str) and version.isdecimal() and version.isascii()):
            raise InvalidRequest(f"'version' must be a version number as a string, not {version!r}")
        if force is not None and not isinstance(force, bool):
            raise InvalidRequest(f"'force' must be true or false, not {force!r}")
        return cls(
            version=str(int(version)) if version else None,
            reason=_text(request, "reason", "say why this version is taken out of Production"),
            by=_text(request, "by", "say who asks for the rollback"),
            force=bool(force),
        )


def _text(request: dict[str, Any], name: str, what: str) -> str:
    value = request.get(name)
    text = value.strip() if isinstance(value, str) else ""
    if not 1 <= len(text) <= _LONGEST[name] or "\0" in text:
        raise InvalidRequest(f"'{name}' must be a text of 1 to {_LONGEST[name]} characters: {what}")
    return text


@dataclass(frozen=True, slots=True)
class _Target:
    """The version to roll back to, which can be served; `has_served` is what the ledger says."""

    version: ModelVersion
    has_served: bool

    @classmethod
    def find(
        cls,
        client: MlflowClient,
        clean: Connection,
        settings: ModelSettings,
        number: str | None,
        current: Incumbent,
    ) -> Self:
        if current.serves and number == current.number:
            raise AlreadyInProduction(f"version {number} is in Production already")
        served = ledger.served(clean, settings.name)
        version = (
            find_version(client, settings.name, number)
            if number
            else _predecessor(client, clean, settings.name, current.number)
        )
        if version is None:
            raise VersionNotFound(
                f"there is no version {number} of {settings.name!r}; {_choices(client, settings.name, served, current)}"
            )
        try:
            versions.scorer_of(client, version, settings)
        except ScorerInvalid as error:
            raise VersionUnusable(
                f"version {version.version} of {settings.name!r} cannot be served: {error}"
            ) from error
        return cls(version, versions.among(version, served))

    def objections(self, current: Incumbent) -> list[str]:
        """Why the rollback has to be forced."""
        found = []
        number, kind = self.version.version, self.version.tags.get(names.DATA_KIND, "")
        if not self.has_served:
            found.append(f"version {number} has never been in Production: no promotion has let it serve")
        if kind != "real" and current.is_real:
            found.append(f"version {number} was trained on {kind or 'unknown'} data and would replace real data")
        return found


def _predecessor(client: MlflowClient, clean: Connection, model_name: str, number: str) -> ModelVersion:
    """The version that served before, or the one before that, if the registry no longer has it, and so on."""
    seen = {number}
    before = ledger.predecessor_of(clean, model_name, number)
    while before is not None and before not in seen:
        if version := find_version(client, model_name, before):
            return version
        seen.add(before)
        before = ledger.predecessor_of(clean, model_name, before)
    raise NothingToRollBack(
        f"the ledger has no version before {number} that the registry still has; name the version to roll back to"
    )


def _choices(client: MlflowClient, model_name: str, served: list[tuple[str, str]], current: Incumbent) -> str:
    """The versions that can be rolled back to, in words."""
    existing = client.search_model_versions(f"name = '{model_name}'")
    found = [
        str(version.version)
        for version in sorted(existing, key=lambda version: -int(version.version))
        if versions.among(version, served) and not (current.serves and str(version.version) == current.number)
    ]
    return f"versions that have served: {', '.join(found)}" if found else "no other version has served"
