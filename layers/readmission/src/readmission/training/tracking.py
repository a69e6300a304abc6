"""What training, promotion and MLflow agree on."""

from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import Final

import requests
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS, ErrorCode

from readmission.errors import TrackingUnavailable
from readmission.settings import ModelSettings

SCORER_ARTIFACT: Final = "scorer.json"
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
    except requests.RequestException as error:
        raise TrackingUnavailable(f"MLflow at {settings.tracking_uri}: {error}") from error
    except MlflowException as error:
        if error.get_http_status_code() >= 500:
            raise TrackingUnavailable(f"MLflow at {settings.tracking_uri}: {error.message}") from error
        raise
