"""Which trained model serves: the best candidate by validation, if nothing speaks against it."""

from dataclasses import dataclass, field
from typing import Any, Final, cast

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS, ErrorCode
from pg8000.native import Connection

from readmission.database import transaction
from readmission.errors import NoCandidates, ScorerInvalid
from readmission.payloads import DataKind, Family, PromoteEvent, PromoteResult
from readmission.settings import ModelSettings
from readmission.training import comparison, dataset, evaluation, export, ledger, production
from readmission.training.tracking import experiment_id, reachable

_METRIC: Final = f"validation_{evaluation.SELECTION}"
_TAGS: Final = ("family", "data_kind", "scorer_sha256", "pipeline_run", "data_hash", "code_version")


@dataclass(frozen=True, slots=True)
class _Verdict:
    take: bool
    reason: str
    metrics: dict[str, Any] = field(default_factory=dict)


def promote(event: PromoteEvent, clean: Connection, settings: ModelSettings) -> PromoteResult:
    """Register the best candidate, let it take `Production` when the comparison allows, and write that down.

    An execution decides once: asked again, it answers what it has decided. Raises `NoCandidates` when no candidate
    was finished, or none has a scorer equal to its pipeline, and `TrackingUnavailable` when MLflow does not answer.
    """
    with reachable(settings):
        client = MlflowClient(settings.tracking_uri)
        best = min(_candidates(client, event, settings), key=lambda run: run.data.metrics[_METRIC])
        version = _register(client, best, settings)
        incumbent = production.current(client, settings.name)
        line = ledger.of_execution(clean, settings.name, event["execution"])
        if line is None:
            verdict = _judge(client, version, incumbent, clean, event["data_kind"])
            line = _line(version, incumbent, verdict, event["execution"])
            # The line first: should the alias fail to move, it is taken back with it.
            with transaction(clean):
                ledger.append(clean, line)
                if verdict.take:
                    production.put(client, version)
            client.set_model_version_tag(version.name, version.version, "decision", f"{line.decision}: {line.reason}")
        serving = line.version if line.decision == "promoted" else line.previous_version
        return PromoteResult(
            decision="promoted" if line.decision == "promoted" else "refused",
            reason=line.reason,
            model=cast(Family, best.data.tags["family"]),
            version=line.version,
            production_version=serving or "",
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
    return client.create_model_version(
        settings.name,
        source=f"models:/{models[0].model_id}",
        run_id=run.info.run_id,
        model_id=models[0].model_id,
        tags={name: run.data.tags[name] for name in _TAGS},
    )


def _judge(
    client: MlflowClient, version: ModelVersion, incumbent: ModelVersion | None, clean: Connection, kind: DataKind
) -> _Verdict:
    """Whether the version takes over, and why: both models on today's test rows, by their scorers."""
    name = f"version {version.version} ({version.tags['family']})"
    if incumbent and incumbent.version == version.version:
        return _Verdict(True, f"{name} is in Production already")
    if incumbent and kind == "synthetic" and incumbent.tags.get("data_kind") == "real":
        return _Verdict(False, f"{name} learned from synthetic data, version {incumbent.version} from real data")
    test = dataset.load(clean, kind)["test"]
    rows = comparison.Rows(test.target.to_numpy().astype(str), test.patients, test.groups)
    scorer = production.scorer_of(client, version)
    shares = export.scores(scorer, test.features)
    calibrated = evaluation.calibration(rows.early, shares[:, scorer.classes.index("<30")])
    metrics = {"test": evaluation.metrics(test.target.to_list(), shares, scorer.classes)}
    if objections := comparison.miscalibration(calibrated, int(rows.early.sum())):
        return _Verdict(False, f"{name}: {'; '.join(objections)}", metrics)
    loss = f"test log loss {metrics['test']['log_loss']:.4f}"
    if incumbent is None:
        return _Verdict(True, f"{name} is the first: {loss}", metrics)
    if kind != incumbent.tags.get("data_kind"):
        return _Verdict(
            True, f"{name} learned from real data, version {incumbent.version} from synthetic data", metrics
        )
    try:
        theirs = production.scorer_of(client, incumbent)
        against = comparison.compare(rows, shares, export.scores(theirs, test.features), scorer.classes)
    except (ScorerInvalid, KeyError) as error:
        return _Verdict(
            True, f"{name}: {loss}; version {incumbent.version} cannot be scored any more: {error}", metrics
        )
    metrics["difference"] = against.as_json()
    opponent = f"version {incumbent.version} ({incumbent.tags.get('family')})"
    if objections := comparison.objections(against):
        return _Verdict(False, f"{name} against {opponent}: {'; '.join(objections)}", metrics)
    how = "better" if against.log_loss.high < 0 else f"not worse by more than {comparison.MARGIN}, and newer"
    return _Verdict(True, f"{name} against {opponent}: test log loss {against.log_loss}: {how}", metrics)


def _line(
    version: ModelVersion, incumbent: ModelVersion | None, verdict: _Verdict, execution: str | None
) -> ledger.Line:
    return ledger.Line(
        model_name=version.name,
        version=str(version.version),
        previous_version=str(incumbent.version) if incumbent else None,
        decision="promoted" if verdict.take else "refused",
        reason=verdict.reason,
        metrics=verdict.metrics,
        data_kind=version.tags["data_kind"],
        data_hash=version.tags["data_hash"],
        code_version=version.tags["code_version"],
        execution=execution,
    )
