"""The version in production, as serving reads it from MLflow: light imports, short timeouts, one error."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import isfinite
from typing import Final

from readmission.errors import ConfigurationError, ModelUnavailable, TrackingUnavailable
from readmission.registry import names
from readmission.registry.rest import ModelVersion, RestClient, UnexpectedAnswer
from readmission.settings import ModelSettings

_TIMEOUT_SECONDS: Final = 3


@dataclass(frozen=True, slots=True)
class Version:
    """A registered model version with the pipeline's tags.

    `promoted_at` (ISO 8601, UTC) and `decision_reason` belong to the decision that put it into Production; None if an
    earlier release made that decision. `sites` are those whose rows it learned from; none if an earlier release trained
    it. `recalibrated_for` is the site whose base rates its forecasts have, None for those of all its sites.
    Since `challenged_at` it is, or was, the challenger, and answers `canary_share` of the patients.
    """

    name: str
    number: str
    run_id: str
    family: str
    data_kind: str
    scorer_sha256: str
    promoted_at: str | None = None
    decision_reason: str | None = None
    sites: tuple[str, ...] = ()
    challenged_at: str | None = None
    canary_share: float = 0.0
    recalibrated_for: str | None = None


class MlflowRegistry:
    """The registry of one MLflow server. Every method raises `ModelUnavailable` with the reason."""

    def __init__(self, settings: ModelSettings) -> None:
        self._client = RestClient(settings, _TIMEOUT_SECONDS)
        self._name = settings.name

    def production(self) -> Version:
        """The version with the alias `Production`."""
        with _model_unavailable():
            try:
                found = self._client.version_by_alias(names.PRODUCTION)
            except UnexpectedAnswer as error:
                if error.status in (400, 404):
                    raise ModelUnavailable(f"no version of the model {self._name!r} is in Production yet") from error
                raise
        return _version(found)

    def challenger(self) -> Version | None:
        """The version with the alias `Challenger`, or None."""
        with _model_unavailable():
            try:
                return _version(self._client.version_by_alias(names.CHALLENGER))
            except UnexpectedAnswer as error:
                if error.status in (400, 404):
                    return None
                raise

    def scorer_document(self, version: Version) -> bytes:
        """The bytes of the version's scorer document."""
        with _model_unavailable(f"the scorer of version {version.number}"):
            return self._client.artifact(version.run_id, names.SCORER)

    def metrics(self, version: Version) -> dict[str, float]:
        """The finite metrics of the version's training run."""
        with _model_unavailable(f"the metrics of version {version.number}"):
            found = self._client.run(version.run_id).metrics
        return {name: value for name, value in found.items() if isfinite(value)}

    def model_card(self, version: Version, path: str) -> str | None:
        """The model card stored under that artifact path, or None if the run has none."""
        with _model_unavailable(f"the model card of version {version.number}"):
            card = self._client.find_artifact(version.run_id, path)
        return None if card is None else card.decode(errors="replace")


@contextmanager
def _model_unavailable(what: str = "") -> Iterator[None]:
    """Raise the REST client's errors as `ModelUnavailable`, which names what was read."""
    try:
        yield
    except (ConfigurationError, TrackingUnavailable, UnexpectedAnswer) as error:
        raise ModelUnavailable(f"{what}: {error}" if what else str(error)) from error


def _version(found: ModelVersion) -> Version:
    try:
        return Version(
            name=found.name,
            number=found.number,
            run_id=found.run_id,
            family=found.tags[names.FAMILY],
            data_kind=found.tags[names.DATA_KIND],
            scorer_sha256=found.tags[names.SCORER_SHA256],
            promoted_at=found.tags.get(names.PROMOTED_AT),
            decision_reason=found.tags.get(names.DECISION_REASON),
            sites=tuple(filter(None, found.tags.get(names.SITES, "").split(","))),
            challenged_at=found.tags.get(names.CHALLENGED_AT),
            canary_share=_share(found.tags.get(names.CANARY_SHARE, "")),
            recalibrated_for=found.tags.get(names.RECALIBRATED_FOR),
        )
    except KeyError as error:
        raise ModelUnavailable(
            f"version {found.number} has no tag {error}: the pipeline did not register it"
        ) from error


def _share(text: str) -> float:
    """The share, or 0, by which a version answers nobody: the tag may have been edited."""
    try:
        share = float(text or 0)
    except ValueError:
        return 0.0
    return share if 0 <= share <= 1 else 0.0
