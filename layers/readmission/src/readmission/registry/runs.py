"""What reporting reads from and writes to an MLflow server, over its REST API, without the MLflow package."""

import json
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any, Final

from readmission.errors import ConfigurationError, EvaluationMissing, TrackingUnavailable
from readmission.settings import ModelSettings

EVALUATION_ARTIFACT: Final = "evaluation.json"
DATA_REPORT_ARTIFACT: Final = "data_report.json"
_TIMEOUT_SECONDS: Final = 30
_SCHEME: Final = "mlflow-artifacts"


@dataclass(frozen=True, slots=True)
class Run:
    """A training run."""

    id: str
    artifact_uri: str
    start_time: int  # ms since 1970
    tags: dict[str, str]
    params: dict[str, str]


@dataclass(frozen=True, slots=True)
class Version:
    """A registered model version."""

    name: str
    number: str
    run_id: str
    created: int  # ms since 1970
    tags: dict[str, str]


class Tracking:
    """One MLflow server. All methods raise `TrackingUnavailable` when it is away or fails."""

    def __init__(self, settings: ModelSettings) -> None:
        self._server = settings.tracking_uri
        self._name = settings.name

    def run(self, run_id: str) -> Run:
        answer = self._ask("GET", "api/2.0/mlflow/runs/get", {"run_id": run_id})
        run = json.loads(answer)["run"]
        info, data = run["info"], run["data"]
        return Run(
            id=run_id,
            artifact_uri=info["artifact_uri"],
            start_time=int(info.get("start_time", 0)),
            tags=_pairs(data.get("tags", [])),
            params=_pairs(data.get("params", [])),
        )

    def version(self, number: str) -> Version:
        answer = self._ask("GET", "api/2.0/mlflow/model-versions/get", {"name": self._name, "version": number})
        entry = json.loads(answer)["model_version"]
        return Version(
            name=entry["name"],
            number=str(entry["version"]),
            run_id=entry["run_id"],
            created=int(entry["creation_timestamp"]),
            tags=_pairs(entry.get("tags", [])),
        )

    def evaluation(self, run_id: str) -> dict[str, Any]:
        """The run's evaluation document. Raises `EvaluationMissing` when it has none."""
        document = self._document(run_id, EVALUATION_ARTIFACT)
        if document is None:
            raise EvaluationMissing(
                f"the MLflow run {run_id} has no {EVALUATION_ARTIFACT}; run the pipeline from 'train'"
            )
        return document

    def data_report(self, run_id: str) -> dict[str, Any] | None:
        """The report on the data that the run learned from; none of a run of an earlier release."""
        return self._document(run_id, DATA_REPORT_ARTIFACT)

    def _document(self, run_id: str, path: str) -> dict[str, Any] | None:
        # Asked first: for an artifact that is not there MLflow answers as for a store that fails.
        listed = json.loads(self._ask("GET", "api/2.0/mlflow/artifacts/list", {"run_id": run_id}))
        if path not in [file["path"] for file in listed.get("files", [])]:
            return None
        document: dict[str, Any] = json.loads(self._ask("GET", "get-artifact", {"path": path, "run_uuid": run_id}))
        return document

    def write(self, run: Run, path: str, content: bytes) -> None:
        """Put an artifact of the run in place, or in place of what is there, through MLflow's artifact proxy.

        Raises `ConfigurationError` when the server does not proxy its artifacts.
        """
        root = urllib.parse.urlsplit(run.artifact_uri)
        if root.scheme != _SCHEME:
            raise ConfigurationError(f"MLflow at {self._server} does not proxy its artifacts: {run.artifact_uri}")
        target = urllib.parse.quote(f"{root.path.strip('/')}/{path}")
        self._ask("PUT", f"api/2.0/mlflow-artifacts/artifacts/{target}", body=content)

    def describe(self, version: Version, text: str) -> None:
        """Set the version's description in the registry."""
        body = {"name": version.name, "version": version.number, "description": text}
        self._ask("PATCH", "api/2.0/mlflow/model-versions/update", body=json.dumps(body).encode())

    def _ask(self, method: str, endpoint: str, query: dict[str, str] | None = None, body: bytes | None = None) -> bytes:
        url = f"{self._server}/{endpoint}" + (f"?{urllib.parse.urlencode(query)}" if query else "")
        kind = "application/json" if method == "PATCH" else "application/octet-stream"
        request = urllib.request.Request(url, body, {"Content-Type": kind} if body is not None else {}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as response:
                content: bytes = response.read()
                return content
        except urllib.error.HTTPError as error:
            with error:
                if error.code < 500 and error.code not in (408, 429):
                    raise
                raise TrackingUnavailable(f"MLflow at {self._server} answered {error.code} for {endpoint}") from error
        except (OSError, HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            raise TrackingUnavailable(f"MLflow at {self._server} cannot be reached: {reason}") from error


def _pairs(entries: list[dict[str, str]]) -> dict[str, str]:
    return {entry["key"]: entry["value"] for entry in entries}
