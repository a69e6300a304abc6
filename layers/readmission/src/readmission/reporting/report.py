"""Writes the plots of a training run, and the model card of the version registered from it, into MLflow.

Both are drawn from the run's evaluation document and replace what an earlier try wrote.
"""

import json
from datetime import UTC, datetime
from typing import Any, Final

from readmission.domain.payloads import CardEvent, PlotsEvent, ReportResult
from readmission.errors import EvaluationMissing
from readmission.registry import names
from readmission.registry.rest import ModelVersion, RestClient, Run
from readmission.reporting import card, plots
from readmission.reporting.facts import Decision, Facts
from readmission.settings import ModelSettings

_TIMEOUT_SECONDS: Final = 30


def write_plots(event: PlotsEvent, settings: ModelSettings) -> ReportResult:
    """Draw the run's plots into its artifacts.

    Raises `EvaluationMissing` for a run without an evaluation document, and `TrackingUnavailable`.
    """
    mlflow = RestClient(settings, _TIMEOUT_SECONDS)
    run = mlflow.run(event["mlflow_run_id"])
    drawn = plots.draw(_evaluation(mlflow, run.id), event["model"], run.tags[names.DATA_KIND])
    for path, content in drawn.items():
        mlflow.write_artifact(run, path, content)
    return ReportResult(mlflow_run_id=run.id, artifacts=list(drawn))


def write_card(event: CardEvent, settings: ModelSettings) -> ReportResult:
    """Write the model card of the version that was promoted or refused, into its run and the registry.

    Raises `EvaluationMissing` for a run without an evaluation document, and `TrackingUnavailable`.
    """
    mlflow = RestClient(settings, _TIMEOUT_SECONDS)
    promotion = event["promotion"]
    version = mlflow.version(promotion["version"])
    run = mlflow.run(version.run_id)
    evaluation = _evaluation(mlflow, run.id)
    facts = _facts(event, version, run, _data_report(mlflow, run.id))
    decision = Decision(promotion["decision"], promotion["reason"], promotion["production_version"])
    mlflow.write_artifact(run, names.MODEL_CARD_MARKDOWN, card.markdown(facts, evaluation, decision).encode())
    mlflow.write_artifact(run, names.MODEL_CARD_HTML, card.html(facts, evaluation, decision).encode())
    mlflow.describe(version, card.description(facts, evaluation, decision))
    return ReportResult(mlflow_run_id=run.id, artifacts=[names.MODEL_CARD_MARKDOWN, names.MODEL_CARD_HTML])


def _facts(event: CardEvent, version: ModelVersion, run: Run, data_report: dict[str, Any] | None) -> Facts:
    return Facts(
        name=version.name,
        number=version.number,
        family=event["promotion"]["model"],
        data_kind=event["data_kind"],
        run_id=run.id,
        created=datetime.fromtimestamp(version.created / 1000, UTC),
        tags=run.tags,
        params=run.params,
        data_report=data_report,
    )


def _evaluation(mlflow: RestClient, run_id: str) -> dict[str, Any]:
    content = mlflow.find_artifact(run_id, names.EVALUATION)
    if content is None:
        raise EvaluationMissing(f"the MLflow run {run_id} has no {names.EVALUATION}; run the pipeline from 'train'")
    document: dict[str, Any] = json.loads(content)
    return document


def _data_report(mlflow: RestClient, run_id: str) -> dict[str, Any] | None:
    """The report on the run's training data; None for a run of an earlier release."""
    content = mlflow.find_artifact(run_id, names.DATA_REPORT)
    return None if content is None else json.loads(content)
