"""Puts an earlier version back into Production at an operator's request."""

from dataclasses import dataclass, replace
from typing import Any, Self

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from pg8000.native import Connection

from readmission.domain.payloads import RollbackResult
from readmission.errors import (
    AlreadyInProduction,
    InvalidRequest,
    NothingToRollBack,
    RollbackNeedsForce,
    ScorerInvalid,
    VersionNotFound,
    VersionUnusable,
)
from readmission.promotion import alias, challenger, ledger, request, undecided, versions
from readmission.promotion.incumbent import Incumbent
from readmission.registry import names
from readmission.registry.mlflow_client import find_version, reachable
from readmission.settings import ModelSettings


def rollback(asked: Any, clean: Connection, settings: ModelSettings) -> RollbackResult:
    """Put the version named in a `RollbackRequest`, or the one before the current version, into Production.

    Without a version in Production, the current version is the one that served last by the ledger. Raises
    `InvalidRequest`, the subclasses of `RollbackRefused`, and `TrackingUnavailable`.
    """
    wanted = _Request.parse(asked)
    with reachable(settings), ledger.exclusive(clean, settings.name):
        client = MlflowClient(settings.tracking_uri)
        alias.settle(client, clean, settings.name)
        current = Incumbent.find(client, clean, settings.name)
        if current is None:
            raise NothingToRollBack(
                f"no version of {settings.name!r} has been in Production: there is nothing to roll back"
            )
        undecided.refuse(client, clean, settings.name, current)
        target = _Target.find(client, clean, settings, wanted.version, current)
        objections = target.objections(current)
        if objections and not wanted.force:
            raise RollbackNeedsForce(f"{'; '.join(objections)}. To roll back nevertheless: FORCE=1, or 'force': true")
        entry = versions.ledger_entry(target.version, current.number, "rolled back", wanted.reason, "by_hand")
        challenger.give_way(client, clean, settings, entry, wanted.by)
        entry = ledger.append(clean, replace(entry, decided_by=wanted.by, forced=bool(objections)))
        alias.carry_out(client, target.version, entry)
        return RollbackResult(
            version=entry.version,
            previous_version=current.number,
            reason=wanted.reason,
            by=wanted.by,
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
    def parse(cls, asked: Any) -> Self:
        if not isinstance(asked, dict):
            raise InvalidRequest(
                "'rollback' must be an object with 'reason', 'by' and optionally 'version' and 'force'"
            )
        fields = request.object_of(asked, "rollback", ("by", "force", "reason", "version"))
        return cls(
            version=request.version_of(fields),
            force=request.force_of(fields),
            reason=request.text_of(fields, "reason", "say why this version is taken out of Production"),
            by=request.text_of(fields, "by", "say who asks for the rollback"),
        )


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
