"""Versions in MLflow's registry: registering one, loading its scorer, and its ledger entry."""

from collections.abc import Collection
from typing import Any

import requests
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from readmission.errors import NoCandidates, ScorerInvalid
from readmission.promotion import ledger
from readmission.promotion.reasons import Code
from readmission.registry import names
from readmission.registry.mlflow_client import ALREADY_EXISTS, reachable
from readmission.scoring.scorer import Scorer, load
from readmission.settings import ModelSettings


def register(client: MlflowClient, run: Run, settings: ModelSettings) -> ModelVersion:
    """The version registered from the run, which may be that of an earlier try.

    Raises `NoCandidates` if the run has no model.
    """
    try:
        client.create_registered_model(settings.name)
    except MlflowException as error:
        if error.error_code != ALREADY_EXISTS:
            raise
    for version in client.search_model_versions(f"run_id = '{run.info.run_id}'"):
        if version.name == settings.name:
            return version
    models = run.outputs.model_outputs if run.outputs else []
    if not models:
        raise NoCandidates(f"the MLflow run {run.info.run_id} has logged no model")
    return client.create_model_version(
        settings.name,
        source=f"models:/{models[0].model_id}",
        run_id=run.info.run_id,
        model_id=models[0].model_id,
        tags={name: run.data.tags.get(name, "") for name in names.RUN_TAGS} | _optional(run),
    )


def _optional(run: Run) -> dict[str, str]:
    return {name: run.data.tags[name] for name in names.OPTIONAL_RUN_TAGS if name in run.data.tags}


def among(version: ModelVersion, listed: Collection[tuple[str, str]]) -> bool:
    """Whether the version is in a list of `ledger.served` or `ledger.decided`."""
    number = str(version.version)
    return (number, str(version.run_id)) in listed or (number, "") in listed


def scorer_of(client: MlflowClient, version: ModelVersion, settings: ModelSettings) -> Scorer:
    """The version's scorer. Raises `ScorerInvalid`, also for a missing document, and `TrackingUnavailable`."""
    try:
        with reachable(settings):
            path = client.download_artifacts(str(version.run_id), names.SCORER)
    except (MlflowException, requests.HTTPError) as error:
        raise ScorerInvalid(f"the scorer document cannot be read: {error}") from error
    with open(path, "rb") as file:
        return load(file.read(), version.tags.get(names.SCORER_SHA256, ""))


def ledger_entry(
    version: ModelVersion,
    previous: str | None,
    decision: ledger.Decision,
    reason: str,
    code: Code,
    *,
    metrics: dict[str, Any] | None = None,
    execution: str | None = None,
) -> ledger.Entry:
    """An entry for a decision on `version` while the version `previous` serves, or served last; not yet written."""
    return ledger.Entry(
        model_name=version.name,
        version=str(version.version),
        previous_version=previous,
        decision=decision,
        reason=reason,
        reason_code=code,
        metrics=metrics or {},
        data_kind=version.tags.get(names.DATA_KIND, ""),
        data_hash=version.tags.get(names.DATA_HASH, ""),
        code_version=version.tags.get(names.CODE_VERSION, ""),
        family=version.tags.get(names.FAMILY, ""),
        mlflow_run_id=str(version.run_id),
        execution=execution,
    )
