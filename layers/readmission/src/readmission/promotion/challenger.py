"""The version that is tried on live requests: what makes it the challenger, and what ends that.

Only *promote*, *guard* and persons decide. Each decision is an entry in the ledger, and is then carried out in the
registry, from which serving learns of it.
"""

from dataclasses import dataclass, replace
from typing import Any, Final, Self

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from pg8000.native import Connection

from readmission.domain.payloads import ChallengeResult
from readmission.errors import (
    AlreadyInProduction,
    ChallengeNeedsForce,
    ChallengesOff,
    InvalidRequest,
    NoChallenger,
    NoIncumbent,
    ScorerInvalid,
    VersionNotFound,
    VersionUnusable,
)
from readmission.promotion import alias, ledger, request, versions
from readmission.promotion.reasons import Code
from readmission.registry import names
from readmission.registry.mlflow_client import find_version, reachable, version_in_production
from readmission.settings import ChallengeSettings, ModelSettings

# These say nothing against the version: it may be tried again.
_BLAMELESS: Final[tuple[Code, ...]] = ("superseded", "overtaken")


def fault_of(clean: Connection, model_name: str, version: str) -> ledger.Entry | None:
    """The withdrawal that speaks against trying the version again, or None."""
    found = ledger.abandonment_of(clean, model_name, version)
    return found if found and found.reason_code not in _BLAMELESS else None


def give_way(
    client: MlflowClient, clean: Connection, settings: ModelSettings, entry: ledger.Entry, by: str | None
) -> None:
    """Withdraw the challenger, if there is another one, before a decision that puts `entry`'s version in its place.

    What was found out about it was in comparison with a version that will not serve, or it is no longer the newest.
    """
    tried = ledger.challenge(clean, settings.name)
    version = find_version(client, settings.name, tried.version) if tried else None
    if tried is None or version is None or tried.version == entry.version:
        return
    if entry.decision == "shadowed":
        code: Code = "superseded"
        reason = f"version {entry.version} takes its place"
    else:
        code = "overtaken"
        reason = f"version {entry.version} takes the place of the version that it was compared with"
    decide(client, clean, version, withdrawal(version, tried, reason, code, by))


def withdrawal(
    version: ModelVersion,
    tried: ledger.Entry,
    reason: str,
    code: Code,
    by: str | None,
    *,
    metrics: dict[str, Any] | None = None,
) -> ledger.Entry:
    """The entry, not yet written, by which the challenger is asked no more."""
    entry = versions.ledger_entry(version, tried.previous_version, "withdrawn", reason, code, metrics=metrics)
    return replace(entry, decided_by=by)


def decide(client: MlflowClient, clean: Connection, version: ModelVersion, entry: ledger.Entry) -> ledger.Entry:
    """Write the entry on the version, and carry it out."""
    entry = ledger.append(clean, entry)
    alias.carry_out(client, version, entry)
    return entry


def abort(asked: Any, clean: Connection, settings: ModelSettings) -> ChallengeResult:
    """Withdraw the challenger at a person's request, an `AbortRequest`.

    Raises `InvalidRequest`, `NoChallenger` and `TrackingUnavailable`.
    """
    fields = request.object_of(asked, "abort", ("by", "reason"))
    reason = request.text_of(fields, "reason", "say why the challenger is withdrawn")
    by = request.text_of(fields, "by", "say who asks for it")
    with reachable(settings), ledger.exclusive(clean, settings.name):
        client = MlflowClient(settings.tracking_uri)
        alias.settle(client, clean, settings.name)
        tried = ledger.challenge(clean, settings.name)
        version = find_version(client, settings.name, tried.version) if tried else None
        if tried is None or version is None:
            raise NoChallenger(f"no version of {settings.name!r} is tried on live requests")
        return result(decide(client, clean, version, withdrawal(version, tried, reason, "by_hand", by)))


def challenge(
    asked: Any, clean: Connection, settings: ModelSettings, challenges: ChallengeSettings | None
) -> ChallengeResult:
    """Try the version of a person's `ChallengeRequest` on live requests.

    Raises `InvalidRequest`, the subclasses of `ChallengeRefused`, `VersionNotFound`, `VersionUnusable`,
    `AlreadyInProduction` and `TrackingUnavailable`.
    """
    wanted = _Wanted.parse(asked)
    if challenges is None:
        raise ChallengesOff("versions are tried on live requests only with ShadowRequests above 0")
    with reachable(settings), ledger.exclusive(clean, settings.name):
        client = MlflowClient(settings.tracking_uri)
        alias.settle(client, clean, settings.name)
        production = version_in_production(client, settings.name)
        if production is None:
            raise NoIncumbent(
                f"no version of {settings.name!r} is in Production, so that there is nothing to compare it with"
            )
        version = _usable(client, settings, wanted.version)
        if version.version == production.version:
            raise AlreadyInProduction(f"version {wanted.version} is in Production already")
        objections = _objections(clean, settings, version, production)
        if objections and not wanted.force:
            raise ChallengeNeedsForce(f"{'; '.join(objections)}. To try it nevertheless: FORCE=1, or 'force': true")
        entry = versions.ledger_entry(version, str(production.version), "shadowed", wanted.reason, "by_hand")
        entry = replace(entry, decided_by=wanted.by, forced=bool(objections))
        give_way(client, clean, settings, entry, wanted.by)
        return result(decide(client, clean, version, entry))


def result(entry: ledger.Entry) -> ChallengeResult:
    """What the entry says, which is not a refusal or a rollback."""
    if entry.decision not in ("shadowed", "canaried", "promoted", "withdrawn"):
        raise ValueError(f"a challenger is not {entry.decision}")
    return ChallengeResult(
        decision=entry.decision,
        version=entry.version,
        production_version=entry.version if entry.decision == "promoted" else entry.previous_version or "",
        reason=entry.reason,
        by=entry.decided_by or "",
    )


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A validated request."""

    version: str
    reason: str
    by: str
    force: bool

    @classmethod
    def parse(cls, asked: Any) -> Self:
        fields = request.object_of(asked, "challenge", ("by", "force", "reason", "version"))
        version = request.version_of(fields)
        if version is None:
            raise InvalidRequest("'version' is required: the number of the version to try")
        return cls(
            version=version,
            reason=request.text_of(fields, "reason", "say why this version is tried"),
            by=request.text_of(fields, "by", "say who asks for it"),
            force=request.force_of(fields),
        )


def _usable(client: MlflowClient, settings: ModelSettings, number: str) -> ModelVersion:
    version = find_version(client, settings.name, number)
    if version is None:
        raise VersionNotFound(f"there is no version {number} of {settings.name!r}")
    try:
        versions.scorer_of(client, version, settings)
    except ScorerInvalid as error:
        raise VersionUnusable(f"version {number} of {settings.name!r} cannot be tried: {error}") from error
    return version


def _objections(
    clean: Connection, settings: ModelSettings, version: ModelVersion, production: ModelVersion
) -> list[str]:
    """Why the version has to be tried by force."""
    number = str(version.version)
    found = []
    kind, its = (one.tags.get(names.DATA_KIND, "") or "unknown" for one in (version, production))
    if kind != its:
        found.append(f"version {number} learned from {kind} data, the version in Production from {its}")
    if entry := fault_of(clean, settings.name, number):
        found.append(f"version {number} was withdrawn before ({entry.reason})")
    entry = ledger.newest_on(clean, settings.name, number)
    if entry is None:
        found.append(f"version {number} has not been compared with the version in Production")
    elif entry.decision == "refused":
        found.append(f"version {number} was refused ({entry.reason})")
    return found
