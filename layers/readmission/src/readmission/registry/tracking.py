"""What training, promotion and MLflow agree on."""

from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import Final

import requests
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException, RestException
from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS, ErrorCode

from readmission.errors import TrackingUnavailable
from readmission.settings import ModelSettings

SCORER_ARTIFACT: Final = "scorer.json"
EVALUATION_ARTIFACT: Final = "evaluation.json"
ALIAS: Final = "Production"


def digest(document: bytes) -> str:
    """What a scorer document is recognised by."""
    return sha256(document).hexdigest()


def experiment_id(client: MlflowClient, settings: ModelSettings) -> str:
    """The experiment of the model's name, made when it is not there; another training may make it meanwhile."""
    found = client.get_experiment_by_name(settings.name)
    if found is None:
        try:
            return str(client.create_experiment(settings.name))
        except MlflowException as error:
            if error.error_code != ErrorCode.Name(RESOURCE_ALREADY_EXISTS):
                raise
            found = client.get_experiment_by_name(settings.name)
            if found is None:
                raise
    return str(found.experiment_id)


@contextmanager
def reachable(settings: ModelSettings) -> Iterator[None]:
    """Turn what MLflow's client raises for a server that is away, or fails, into `TrackingUnavailable`."""
    try:
        yield
    except (requests.RequestException, MlflowException) as error:
        if not _may_pass(error):
            raise
        raise TrackingUnavailable(f"MLflow at {settings.tracking_uri}: {error}") from error


def _may_pass(error: BaseException | None) -> bool:
    """Whether the server failed, or the way to it did: MLflow's client hides that error behind one of its own."""
    while error is not None:
        if isinstance(error, requests.HTTPError) and error.response is not None:
            # Of an artifact's download: the server answered, so it depends on what.
            if error.response.status_code >= 500 or error.response.status_code in (408, 429):
                return True
        elif isinstance(error, requests.RequestException):
            return True
        if isinstance(error, RestException) and int(error.get_http_status_code()) >= 500:  # type: ignore[no-untyped-call]
            return True
        error = error.__cause__ or error.__context__
    return False
