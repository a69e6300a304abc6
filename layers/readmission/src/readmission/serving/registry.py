"""The two questions that serving asks an MLflow server, over its REST API, without the MLflow package."""

import json
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any, Final

from readmission.errors import ModelUnavailable
from readmission.settings import ModelSettings

_TIMEOUT_SECONDS: Final = 3
_ALIAS: Final = "Production"
_ARTIFACT: Final = "scorer.json"


@dataclass(frozen=True, slots=True)
class Version:
    """A registered model version, as the pipeline tagged it."""

    name: str
    number: str
    run_id: str
    family: str
    data_kind: str
    scorer_sha256: str


class MlflowRegistry:
    """The registry of one MLflow server. Both methods raise `ModelUnavailable` with the reason."""

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
        try:
            return self._get("get-artifact", path=_ARTIFACT, run_uuid=version.run_id)
        except urllib.error.HTTPError as error:
            raise ModelUnavailable(
                f"MLflow at {self._server} answered {error.code} for the scorer of version {version.number}"
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
        )
    except KeyError as error:
        raise ModelUnavailable(
            f"version {entry.get('version')} has no {error}: it was not registered by the pipeline"
        ) from error
