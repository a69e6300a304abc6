"""Which trained model is served: the best candidate by validation, if it is not worse than the one in place."""

import warnings
from typing import Final, Literal, cast

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS, RESOURCE_DOES_NOT_EXIST, ErrorCode
from pg8000.native import Connection

from readmission.errors import NoCandidates
from readmission.payloads import DataKind, Family, PromoteEvent, PromoteResult
from readmission.scorer import Scorer, load
from readmission.settings import ModelSettings
from readmission.training import dataset, evaluation, export
from readmission.training.tracking import ALIAS, SCORER_ARTIFACT, experiment_id, reachable

_METRIC: Final = f"validation_{evaluation.SELECTION}"
_SLACK: Final = 1e-9  # the incumbent is evaluated by its scorer, which differs from its pipeline by less


def promote(event: PromoteEvent, clean: Connection, settings: ModelSettings) -> PromoteResult:
    """Register the best candidate, and let it take `Production` (alias and stage) when it is not worse.

    Raises `NoCandidates` when no candidate was finished, or none has a scorer equal to its pipeline, and
    `TrackingUnavailable` when MLflow does not answer. Doing it again registers no second version.
    """
    with reachable(settings):
        client = MlflowClient(settings.tracking_uri)
        best = min(_candidates(client, event, settings), key=lambda run: run.data.metrics[_METRIC])
        version = _register(client, best, settings)
        incumbent = _production(client, settings)
        take, reason = _compare(client, best, version, incumbent, clean, event["data_kind"])
        if take:
            _set_production(client, version)
        decision: Literal["promoted", "kept"] = "promoted" if take else "kept"
        client.set_model_version_tag(version.name, version.version, "decision", f"{decision}: {reason}")
        return PromoteResult(
            decision=decision,
            reason=reason,
            model=cast(Family, best.data.tags["family"]),
            version=str(version.version),
            production_version=str(version.version if take or incumbent is None else incumbent.version),
        )


def _candidates(client: MlflowClient, event: PromoteEvent, settings: ModelSettings) -> list[Run]:
    if event["candidates"]:
        runs = [client.get_run(candidate["mlflow_run_id"]) for candidate in event["candidates"]]
    else:
        runs = _newest(client, event, settings)
    exact = [run for run in runs if run.data.metrics.get("scorer_largest_difference", 1.0) <= export.TOLERANCE]
    if not exact:
        raise NoCandidates(
            f"none of {len(runs)} finished {event['data_kind']} training runs of {', '.join(event['models'])} has a"
            f" scorer that equals its pipeline to {export.TOLERANCE:g}; run the pipeline from 'train'"
        )
    return exact


def _newest(client: MlflowClient, event: PromoteEvent, settings: ModelSettings) -> list[Run]:
    """The newest finished run of each family on that kind of data."""
    experiment = experiment_id(client, settings)
    found: list[Run] = []
    for family in event["models"]:
        condition = f"tags.family = '{family}' AND tags.data_kind = '{event['data_kind']}'"
        found += client.search_runs(
            [experiment],
            f"attributes.status = 'FINISHED' AND {condition}",
            order_by=["attributes.start_time DESC"],
            max_results=1,
        )
    return found


def _register(client: MlflowClient, run: Run, settings: ModelSettings) -> ModelVersion:
    """The run's model version; the one of an earlier try when there is one."""
    try:
        client.create_registered_model(settings.name)
    except MlflowException as error:
        if error.error_code != ErrorCode.Name(RESOURCE_ALREADY_EXISTS):
            raise
    if versions := client.search_model_versions(f"run_id = '{run.info.run_id}'"):
        return versions[0]
    models = run.outputs.model_outputs if run.outputs else []
    if not models:
        raise NoCandidates(f"the MLflow run {run.info.run_id} has logged no model")
    tags = {name: run.data.tags[name] for name in ("family", "data_kind", "scorer_sha256", "pipeline_run")}
    return client.create_model_version(
        settings.name,
        source=f"models:/{models[0].model_id}",
        run_id=run.info.run_id,
        model_id=models[0].model_id,
        tags=tags,
    )


def _production(client: MlflowClient, settings: ModelSettings) -> ModelVersion | None:
    try:
        return client.get_model_version_by_alias(settings.name, ALIAS)
    except MlflowException as error:
        # MLflow says INVALID_PARAMETER_VALUE for an alias that is not there.
        if error.error_code in (ErrorCode.Name(RESOURCE_DOES_NOT_EXIST), "INVALID_PARAMETER_VALUE"):
            return None
        raise


def _compare(
    client: MlflowClient,
    best: Run,
    version: ModelVersion,
    incumbent: ModelVersion | None,
    clean: Connection,
    kind: DataKind,
) -> tuple[bool, str]:
    """Whether the best candidate takes over, and why, on today's validation rows for both."""
    challenger = f"version {version.version} ({best.data.tags['family']})"
    loss = best.data.metrics[_METRIC]
    if incumbent is None:
        return True, f"{challenger} is the first: validation {evaluation.SELECTION} {loss:.4f}"
    if incumbent.version == version.version:
        return True, f"{challenger} is in Production already"
    if kind != incumbent.tags["data_kind"]:
        verdict = "takes over from" if kind == "real" else "does not replace"
        return kind == "real", (
            f"{challenger}, trained on {kind} data, {verdict} version {incumbent.version},"
            f" trained on {incumbent.tags['data_kind']} data"
        )
    theirs = _loss_today(_scorer(client, incumbent), clean, kind)
    sign = "<=" if loss <= theirs + _SLACK else ">"
    return loss <= theirs + _SLACK, (
        f"{challenger} against version {incumbent.version} ({incumbent.tags['family']}): validation"
        f" {evaluation.SELECTION} {loss:.4f} {sign} {theirs:.4f}"
    )


def _scorer(client: MlflowClient, version: ModelVersion) -> Scorer:
    path = client.download_artifacts(str(version.run_id), SCORER_ARTIFACT)
    with open(path, "rb") as file:
        return load(file.read(), version.tags["scorer_sha256"])


def _loss_today(scorer: Scorer, clean: Connection, kind: DataKind) -> float:
    """The scorer's selection metric on the validation rows as they are now."""
    part = dataset.load(clean, kind)["validation"]
    rows = part.features[list(scorer.features)].to_numpy().tolist()
    shares = [scorer.probabilities(row) for row in rows]
    return evaluation.metrics(part.target.to_list(), shares, scorer.classes)[evaluation.SELECTION]


def _set_production(client: MlflowClient, version: ModelVersion) -> None:
    """The alias, and the deprecated stage for clients that still look for it.

    Others leave the stage one by one: MLflow's own `archive_existing_versions` compares an integer with a text, which
    Postgres refuses by pg8000 (MLflow 3.17).
    """
    client.set_registered_model_alias(version.name, ALIAS, version.version)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        for other in client.search_model_versions(f"name = '{version.name}'"):
            if other.current_stage == ALIAS and other.version != version.version:
                client.transition_model_version_stage(version.name, other.version, "Archived")
        client.transition_model_version_stage(version.name, version.version, ALIAS)
