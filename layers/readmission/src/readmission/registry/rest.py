"""MLflow's REST API on the standard library, for the functions whose layer has no room for the MLflow package."""

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPException, InvalidURL
from typing import Any, Final

from readmission.domain.redaction import redacted
from readmission.errors import ConfigurationError, TrackingUnavailable
from readmission.registry import credentials, store
from readmission.registry.credentials import Login
from readmission.settings import ModelSettings

_PROXIED: Final = "mlflow-artifacts"
_API: Final = "api/2.0/mlflow"
_PAGE: Final = 200


class UnexpectedAnswer(Exception):
    """MLflow rejected a request, or its answer cannot be read; retrying does not help.

    `status` is the HTTP status of a rejection, None for an unreadable answer.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Run:
    """A training run."""

    id: str
    artifact_uri: str
    tags: dict[str, str]
    params: dict[str, str]
    metrics: dict[str, float]


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """A registered model version."""

    name: str
    number: str
    run_id: str
    created: int  # ms since 1970
    tags: dict[str, str]


class RestClient:
    """One MLflow server and one registered model.

    Every method raises `TrackingUnavailable` if the server cannot be reached or fails (5xx, 408, 429) or its database
    is away, and `UnexpectedAnswer` if it rejects the request or sends something else. Nothing is retried here, except
    a refused login once its secret has changed. A secret that cannot be read raises `TrackingUnavailable` or
    `ConfigurationError`.
    """

    def __init__(self, settings: ModelSettings, timeout_seconds: float) -> None:
        self._server = settings.tracking_uri
        self._shown = redacted(settings.tracking_uri)
        self._model = settings.name
        self._timeout = timeout_seconds
        self._credentials = credentials.of(settings.secret)

    def version_by_alias(self, alias: str) -> ModelVersion:
        """The version with that alias. MLflow rejects an unknown alias with 400 and an unknown model with 404."""
        answer = self._request("GET", f"{_API}/registered-models/alias", {"name": self._model, "alias": alias})
        return self._read(answer, "a model version", _version)

    def version(self, number: str) -> ModelVersion:
        """The version with that number."""
        answer = self._request("GET", f"{_API}/model-versions/get", {"name": self._model, "version": number})
        return self._read(answer, "a model version", _version)

    def versions(self) -> list[ModelVersion]:
        """All versions of the model, oldest first; none if the registry does not know the model."""
        found: list[ModelVersion] = []
        query = {"filter": f"name='{self._model}'", "max_results": str(_PAGE)}
        while True:
            answer = self._request("GET", f"{_API}/model-versions/search", query)
            page, token = self._read(answer, "a list of model versions", _versions)
            found += page
            if not token:
                return sorted(found, key=lambda version: int(version.number))
            query["page_token"] = token

    def run(self, run_id: str) -> Run:
        """The run with that id."""
        answer = self._request("GET", f"{_API}/runs/get", {"run_id": run_id})
        return self._read(answer, "a run", lambda document: _run(run_id, document["run"]))

    def artifact(self, run_id: str, path: str) -> bytes:
        """The content of an artifact that the run is known to have."""
        return self._request("GET", "get-artifact", {"path": path, "run_uuid": run_id})

    def find_artifact(self, run_id: str, path: str) -> bytes | None:
        """The content of an artifact, or None if the run does not have it."""
        # MLflow answers a request for a missing artifact with 500, like a failing store: list the artifacts first.
        folder = path.rpartition("/")[0]
        query = {"run_id": run_id} | ({"path": folder} if folder else {})
        answer = self._request("GET", f"{_API}/artifacts/list", query)
        if path not in self._read(answer, "a list of artifacts", _paths):
            return None
        return self.artifact(run_id, path)

    def write_artifact(self, run: Run, path: str, content: bytes) -> None:
        """Write, or replace, an artifact of the run through MLflow's artifact proxy.

        Raises `ConfigurationError` if the server does not proxy its artifacts.
        """
        root = urllib.parse.urlsplit(run.artifact_uri)
        if root.scheme != _PROXIED:
            raise ConfigurationError(f"MLflow at {self._shown} does not proxy its artifacts: {run.artifact_uri}")
        target = urllib.parse.quote(f"{root.path.strip('/')}/{path}")
        self._request("PUT", f"api/2.0/mlflow-artifacts/artifacts/{target}", body=content)

    def describe(self, version: ModelVersion, text: str) -> None:
        """Set the version's description in the registry."""
        body = {"name": version.name, "version": version.number, "description": text}
        self._request("PATCH", f"{_API}/model-versions/update", body=json.dumps(body).encode())

    def _read[T](self, answer: bytes, expected: str, read: Callable[[Any], T]) -> T:
        try:
            return read(json.loads(answer))
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise UnexpectedAnswer(f"MLflow at {self._shown} sent something other than {expected}") from error

    def _request(
        self, method: str, endpoint: str, query: dict[str, str] | None = None, body: bytes | None = None
    ) -> bytes:
        url = f"{self._server}/{endpoint}" + (f"?{urllib.parse.urlencode(query)}" if query else "")
        kind = "application/json" if method == "PATCH" else "application/octet-stream"
        request = urllib.request.Request(url, body, {"Content-Type": kind} if body is not None else {}, method=method)
        if self._credentials is None:
            return self._send(request, endpoint)
        login = self._credentials.login()
        try:
            return self._send(request, endpoint, login)
        except UnexpectedAnswer as error:
            if error.status != HTTPStatus.UNAUTHORIZED or not (other := self._credentials.login_after(login)):
                raise
        return self._send(request, endpoint, other)

    def _send(self, request: urllib.request.Request, endpoint: str, login: Login | None = None) -> bytes:
        if login:
            # Not sent on to where the server may redirect to.
            request.add_unredirected_header("Authorization", login.header)
        try:
            with urllib.request.urlopen(request, timeout=self._timeout) as response:
                content: bytes = response.read()
                return content
        except urllib.error.HTTPError as error:
            with error:
                message = f"MLflow at {self._shown} answered {error.code} to {request.get_method()} {endpoint}"
                if error.code >= 500 or error.code in (408, 429) or store.is_away(_text(error)):
                    raise TrackingUnavailable(message) from error
                raise UnexpectedAnswer(message + _advice(error.code, login), error.code) from error
        except (OSError, HTTPException) as error:
            # An invalid URL's message repeats a part of it, which may be a password.
            reason = (
                "the URL is not valid" if isinstance(error, InvalidURL) else getattr(error, "reason", None) or error
            )
            raise TrackingUnavailable(f"MLflow at {self._shown} cannot be reached: {reason}") from error


def _advice(status: int, login: Login | None) -> str:
    if status != HTTPStatus.UNAUTHORIZED:
        return ""
    return ": the login in its secret is wrong" if login else ": it needs a login, and no secret with one is named"


def _text(error: urllib.error.HTTPError) -> str:
    """The text of the answer, decoded from JSON's escapes where it is JSON; empty if it broke off."""
    try:
        content = error.read().decode(errors="replace")
        return str(json.loads(content)["message"])
    except (OSError, HTTPException, ValueError, LookupError, TypeError):
        return ""


def _version(document: Any) -> ModelVersion:
    return _of_entry(document["model_version"])


def _versions(document: Any) -> tuple[list[ModelVersion], str]:
    """The versions of a page, and the token of the next; empty on the last one."""
    return [_of_entry(entry) for entry in document.get("model_versions", [])], document.get("next_page_token") or ""


def _of_entry(entry: Any) -> ModelVersion:
    return ModelVersion(
        name=entry["name"],
        number=str(entry["version"]),
        run_id=entry["run_id"],
        created=int(entry.get("creation_timestamp", 0)),
        tags=_pairs(entry.get("tags", [])),
    )


def _run(run_id: str, run: Any) -> Run:
    info, data = run["info"], run["data"]
    return Run(
        id=run_id,
        artifact_uri=info.get("artifact_uri", ""),
        tags=_pairs(data.get("tags", [])),
        params=_pairs(data.get("params", [])),
        metrics={metric["key"]: float(metric["value"]) for metric in data.get("metrics", [])},
    )


def _paths(document: Any) -> list[str]:
    return [file["path"] for file in document.get("files", [])]


def _pairs(entries: Any) -> dict[str, str]:
    return {entry["key"]: entry["value"] for entry in entries}
