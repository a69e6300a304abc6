"""What training and promotion share around MLflow's own client."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import Final

import requests
from mlflow import MlflowClient
from mlflow.entities import LifecycleStage
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException, RestException
from mlflow.protos.databricks_pb2 import (
    INVALID_PARAMETER_VALUE,
    RESOURCE_ALREADY_EXISTS,
    RESOURCE_DOES_NOT_EXIST,
    ErrorCode,
)

from readmission.domain.redaction import redacted
from readmission.errors import TrackingUnavailable
from readmission.registry import credentials, names, store
from readmission.settings import ModelSettings

ALREADY_EXISTS: Final = ErrorCode.Name(RESOURCE_ALREADY_EXISTS)
# MLflow reports a missing alias, and a version number that is not a number, as an invalid parameter.
_MISSING: Final = (ErrorCode.Name(RESOURCE_DOES_NOT_EXIST), ErrorCode.Name(INVALID_PARAMETER_VALUE))
# A lost packet is sent again after 1 and 3 s.
_CONNECT_SECONDS: Final = 5
_ANSWER_SECONDS: Final = 5


def digest(document: bytes) -> str:
    """The SHA-256 of a scorer document, in hexadecimal: the value of its version's tag `scorer_sha256`."""
    return sha256(document).hexdigest()


def experiment_id(client: MlflowClient, settings: ModelSettings) -> str:
    """The id of the model's experiment, which is created if missing, and restored with its runs if it was deleted.

    MLflow keeps the name of a deleted experiment until `mlflow gc`, so that no other could be created. Parallel
    trainings may race for either.
    """
    found = client.get_experiment_by_name(settings.name)
    if found is None:
        try:
            return str(client.create_experiment(settings.name))
        except MlflowException as error:
            if error.error_code != ALREADY_EXISTS:
                raise
            found = client.get_experiment_by_name(settings.name)
            if found is None:
                raise
    if found.lifecycle_stage != LifecycleStage.ACTIVE:
        _restore(client, str(found.experiment_id))
    return str(found.experiment_id)


def _restore(client: MlflowClient, experiment: str) -> None:
    try:
        client.restore_experiment(experiment)
    except MlflowException:
        if client.get_experiment(experiment).lifecycle_stage != LifecycleStage.ACTIVE:
            raise


def find_version(client: MlflowClient, model_name: str, number: str) -> ModelVersion | None:
    """The version with that number, or None."""
    try:
        return client.get_model_version(model_name, number)
    except MlflowException as error:
        if error.error_code in _MISSING:
            return None
        raise


def version_in_production(client: MlflowClient, model_name: str) -> ModelVersion | None:
    """The version with the alias `Production`, or None."""
    return _version_with(client, model_name, names.PRODUCTION)


def version_challenging(client: MlflowClient, model_name: str) -> ModelVersion | None:
    """The version with the alias `Challenger`, or None."""
    return _version_with(client, model_name, names.CHALLENGER)


def _version_with(client: MlflowClient, model_name: str, alias: str) -> ModelVersion | None:
    try:
        return client.get_model_version_by_alias(model_name, alias)
    except MlflowException as error:
        if error.error_code in _MISSING:
            return None
        raise


@contextmanager
def reachable(settings: ModelSettings) -> Iterator[None]:
    """Log MLflow's client in, and raise `TrackingUnavailable` if it fails because its server is away or fails.

    Raises `ConfigurationError` for an unusable secret.
    """
    if settings.secret:
        # Read each time, which is once a step: the password may have changed since the last one. The client takes the
        # login from nowhere else, and looks at every request.
        login = credentials.read(settings.secret)
        os.environ["MLFLOW_TRACKING_USERNAME"], os.environ["MLFLOW_TRACKING_PASSWORD"] = login.username, login.password
    try:
        _find(settings.tracking_uri)
        yield
    except (requests.RequestException, MlflowException) as error:
        if not _is_transient(error):
            raise
        shown = redacted(settings.tracking_uri)
        message = str(error).replace(settings.tracking_uri, shown)  # MLflow's client repeats the URL
        raise TrackingUnavailable(f"MLflow at {shown}: {message}") from error


def _find(uri: str) -> None:
    """Raise `requests.ConnectTimeout` if no packet gets through to the server.

    MLflow's client has one limit of time, long enough for the answer to a large artifact, and would wait as long for a
    connection, three times. Whatever else is wrong, that client finds out, and tries again.
    """
    try:
        requests.head(f"{uri}/health", timeout=(_CONNECT_SECONDS, _ANSWER_SECONDS), allow_redirects=False)
    except requests.ConnectTimeout:
        raise
    except requests.RequestException:
        return


def _is_transient(error: BaseException | None) -> bool:
    """Whether the server, its database or the connection failed: MLflow's client wraps that error in one of its own."""
    while error is not None:
        if isinstance(error, requests.HTTPError) and error.response is not None:
            # The server answered a download with an error status: a client error is permanent.
            if error.response.status_code >= 500 or error.response.status_code in (408, 429):
                return True
        elif isinstance(error, requests.RequestException):
            return True
        if isinstance(error, RestException) and int(error.get_http_status_code()) >= 500:  # type: ignore[no-untyped-call]
            return True
        if isinstance(error, RestException) and store.is_away(str(error)):
            return True
        error = error.__cause__ or error.__context__
    return False
