"""What serving asks an MLflow server, over its REST API, without the MLflow package."""

import json
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException
from math import isfinite
from typing import Any, Final

from readmission.errors import ModelUnavailable
from readmission.settings import ModelSettings

_TIMEOUT_SECONDS: Final = 3
_ALIAS: Final = "Production"
_ARTIFACT: Final = "scorer.json"


@dataclass(frozen=True, slots=True)
class Version:
    """A registered model version, as the pipeline tagged it.

    `promoted_at` (ISO 8601, UTC) and `decision_reason` are of the decision that gave it `Production`; None when an
    earlier release took it.
    """

    name: str
    number: str
    run_id: str
    family: str
    data_kind: str
    scorer_sha256: str
    promoted_at: str | None = None
    decision_reason: str | None = None


class MlflowRegistry:
    """The registry of one MLflow server. Every method raises `ModelUnavailable` with the reason."""

    def __init__(self, settings: ModelSettings) -> None:
        self._server = settings.tracking_uri
        self._name = settings.name

    def production(self) -> Version:
        """The version that has the alias `Production`."""
        try:
            answer = self._get("api/2.0/mlflow/registered-models/alias", name=self._name, alias=_ALIAS)
        except urllib.error.HTTPError as error:
            # MLflow answers 404 for a model and 400 for an alias that is not there.
            if error.code in (400, 404):
                raise ModelUnavailable(f"no version of the model {self._name!r} is in Production yet") from error
            raise ModelUnavailable(f"MLflow at {self._server} answered {error.code}") from error
        try:
            entry: dict[str, Any] = {**json.loads(answer)["model_version"]}
        except (ValueError, LookupError, TypeError) as error:
            raise ModelUnavailable(f"MLflow at {self._server} answered something else than a model version") from error
        return _version(entry)

    def scorer_document(self, version: Version) -> bytes:
        """The bytes of the version's scorer document."""
        return self._of_version(version, "the scorer", "get-artifact", path=_ARTIFACT, run_uuid=version.run_id)

    def metrics(self, version: Version) -> dict[str, float]:
        """The finite metrics of the training run that the version is from."""
        answer = self._of_version(version, "the metrics", "api/2.0/mlflow/runs/get", run_id=version.run_id)
        try:
            found = {str(one["key"]): float(one["value"]) for one in json.loads(answer)["run"]["data"]["metrics"]}
        except (ValueError, LookupError, TypeError) as error:
            raise ModelUnavailable(f"MLflow at {self._server} answered something else than a run") from error
        return {name: value for name, value in found.items() if isfinite(value)}

    def model_card(self, version: Version, path: str) -> str | None:
        """The artifact of that path as text; None when the run has none."""
        # Asked first: for an artifact that is not there MLflow answers as for a store that fails.
        listed = self._of_version(version, "the artifacts", "api/2.0/mlflow/artifacts/list", run_id=version.run_id)
        try:
            if path not in [file["path"] for file in json.loads(listed).get("files", [])]:
                return None
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise ModelUnavailable(f"MLflow at {self._server} answered something else than artifacts") from error
        card = self._of_version(version, "the model card", "get-artifact", path=path, run_uuid=version.run_id)
        return card.decode(errors="replace")

    def _of_version(self, version: Version, what: str, endpoint: str, /, **query: str) -> bytes:
        try:
            return self._get(endpoint, **query)
        except urllib.error.HTTPError as error:
            raise ModelUnavailable(
                f"MLflow at {self._server} answered {error.code} for {what} of version {version.number}"
            ) from error

    def _get(self, endpoint: str, /, **query: str) -> bytes:
        url = f"{self._server}/{endpoint}?{urllib.parse.urlencode(query)}"
        try:
            with urllib.request.urlopen(url, timeout=_TIMEOUT_SECONDS) as response:
                content: bytes = response.read()
                return content
        except urllib.error.HTTPError:
            raise
        except (OSError, HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            raise ModelUnavailable(f"MLflow at {self._server} cannot be reached: {reason}") from error


def _version(entry: dict[str, Any]) -> Version:
    tags = {tag["key"]: tag["value"] for tag in entry.get("tags", [])}
    try:
        return Version(
            name=entry["name"],
            number=entry["version"],
            run_id=entry["run_id"],
            family=tags["family"],
            data_kind=tags["data_kind"],
            scorer_sha256=tags["scorer_sha256"],
            promoted_at=tags.get("promoted_at"),
            decision_reason=tags.get("decision_reason"),
        )
    except KeyError as error:
        raise ModelUnavailable(
            f"version {entry.get('version')} has no {error}: it was not registered by the pipeline"
        ) from error
