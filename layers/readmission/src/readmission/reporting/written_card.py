"""Writes the model card of a version into MLflow: into its run's artifacts, and as its description in the registry.

It quotes the newest decision on the version, so that each later decision writes it again.
"""

import json
from datetime import UTC, datetime
from typing import Any, Final

from aws_lambda_powertools import Logger

from readmission.domain.payloads import ReportResult
from readmission.errors import ConfigurationError, EvaluationMissing, TrackingUnavailable
from readmission.registry import names
from readmission.registry.rest import ModelVersion, RestClient, Run, UnexpectedAnswer
from readmission.reporting import card
from readmission.reporting.facts import Decision, Facts
from readmission.settings import ModelSettings

TIMEOUT_SECONDS: Final = 30


def write(number: str, decision: Decision, settings: ModelSettings) -> ReportResult:
    """Write, or replace, the card of the version with that number.

    Raises `EvaluationMissing` for a run without an evaluation document, and `TrackingUnavailable`.
    """
    mlflow = RestClient(settings, TIMEOUT_SECONDS)
    version = mlflow.version(number)
    run = mlflow.run(version.run_id)
    evaluation = evaluation_of(mlflow, run.id)
    facts = _facts(version, run, _data_report(mlflow, run.id))
    mlflow.write_artifact(run, names.MODEL_CARD_MARKDOWN, card.markdown(facts, evaluation, decision).encode())
    mlflow.write_artifact(run, names.MODEL_CARD_HTML, card.html(facts, evaluation, decision).encode())
    mlflow.describe(version, card.description(facts, evaluation, decision))
    return ReportResult(mlflow_run_id=run.id, artifacts=[names.MODEL_CARD_MARKDOWN, names.MODEL_CARD_HTML])


def rewrite(number: str, decision: Decision, settings: ModelSettings, logger: Logger) -> None:
    """Let the version's card quote a later decision, which stands if that fails."""
    try:
        write(number, decision, settings)
    except (ConfigurationError, EvaluationMissing, TrackingUnavailable, UnexpectedAnswer) as error:
        logger.warning("the model card could not be written again", extra={"version": number, "reason": str(error)})


def evaluation_of(mlflow: RestClient, run_id: str) -> dict[str, Any]:
    """The run's evaluation document. Raises `EvaluationMissing`."""
    content = mlflow.find_artifact(run_id, names.EVALUATION)
    if content is None:
        raise EvaluationMissing(f"the MLflow run {run_id} has no {names.EVALUATION}; run the pipeline from 'train'")
    document: dict[str, Any] = json.loads(content)
    return document


def _facts(version: ModelVersion, run: Run, data_report: dict[str, Any] | None) -> Facts:
    return Facts(
        name=version.name,
        number=version.number,
        family=run.tags[names.FAMILY],
        data_kind=run.tags[names.DATA_KIND],
        run_id=run.id,
        created=datetime.fromtimestamp(version.created / 1000, UTC),
        tags=run.tags,
        params=run.params,
        data_report=data_report,
    )


def _data_report(mlflow: RestClient, run_id: str) -> dict[str, Any] | None:
    """The report on the run's training data; None for a run of an earlier release."""
    content = mlflow.find_artifact(run_id, names.DATA_REPORT)
    return None if content is None else json.loads(content)
