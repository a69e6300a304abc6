"""What MLflow's registry has in `Production`: reading it, and moving it."""

import math
import warnings
from datetime import UTC, datetime

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST, ErrorCode

from readmission.registry import names
from readmission.registry.mlflow_client import reachable
from readmission.scoring.scorer import Scorer, load
from readmission.settings import ModelSettings
from readmission.telemetry.metrics import SCORES


def current(client: MlflowClient, name: str) -> ModelVersion | None:
    """The version that serves; None when there is none."""
    try:
        return client.get_model_version_by_alias(name, names.PRODUCTION)
    except MlflowException as error:
        # MLflow says INVALID_PARAMETER_VALUE for an alias that is not there.
        if error.error_code in (ErrorCode.Name(RESOURCE_DOES_NOT_EXIST), "INVALID_PARAMETER_VALUE"):
            return None
        raise


def scorer_of(client: MlflowClient, version: ModelVersion) -> Scorer:
    """The version's scorer. Raises `ScorerInvalid` when its document is not the registered one."""
    path = client.download_artifacts(str(version.run_id), names.SCORER)
    with open(path, "rb") as file:
        return load(file.read(), version.tags.get("scorer_sha256", ""))


def test_scores(settings: ModelSettings, number: str) -> dict[str, float]:
    """What a version scored on the test rows, those of `metrics.SCORES` that its run has and that are numbers.

    Raises `TrackingUnavailable`.
    """
    with reachable(settings):
        client = MlflowClient(settings.tracking_uri)
        version = client.get_model_version(settings.name, number)
        found = client.get_run(str(version.run_id)).data.metrics
    scores = {name: found.get(f"test_{name}", math.nan) for name in SCORES}
    return {name: value for name, value in scores.items() if math.isfinite(value)}


def put(client: MlflowClient, version: ModelVersion, reason: str) -> None:
    """Give it the alias, and the deprecated stage for clients that still look for it.

    Since when it serves and why are tags, as serving has no access to the ledger; they come before the alias, so that
    who finds the alias finds them. Others leave the stage one by one: MLflow's own `archive_existing_versions` compares
    an integer with a text, which Postgres refuses by pg8000 (MLflow 3.17).
    """
    now = datetime.now(UTC).isoformat(timespec="seconds")
    client.set_model_version_tag(version.name, version.version, "promoted_at", now)
    client.set_model_version_tag(version.name, version.version, "decision_reason", reason)
    client.set_registered_model_alias(version.name, names.PRODUCTION, version.version)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        for other in client.search_model_versions(f"name = '{version.name}'"):
            if other.current_stage == names.PRODUCTION and other.version != version.version:
                client.transition_model_version_stage(version.name, other.version, "Archived")
        client.transition_model_version_stage(version.name, version.version, names.PRODUCTION)
