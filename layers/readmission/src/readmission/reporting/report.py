"""Writes the plots of a training run, and the model card of the version registered from it, into MLflow.

Both are drawn from the run's evaluation document and replace what an earlier try wrote.
"""

from readmission.domain.payloads import CardEvent, PlotsEvent, ReportResult
from readmission.registry import names
from readmission.registry.rest import RestClient
from readmission.reporting import plots, written_card
from readmission.reporting.facts import Decision
from readmission.settings import ModelSettings


def write_plots(event: PlotsEvent, settings: ModelSettings) -> ReportResult:
    """Draw the run's plots into its artifacts.

    Raises `EvaluationMissing` for a run without an evaluation document, and `TrackingUnavailable`.
    """
    mlflow = RestClient(settings, written_card.TIMEOUT_SECONDS)
    run = mlflow.run(event["mlflow_run_id"])
    evaluation = written_card.evaluation_of(mlflow, run.id)
    drawn = plots.draw(evaluation, event["model"], run.tags[names.DATA_KIND])
    for path, content in drawn.items():
        mlflow.write_artifact(run, path, content)
    return ReportResult(mlflow_run_id=run.id, artifacts=list(drawn))


def write_card(event: CardEvent, settings: ModelSettings) -> ReportResult:
    """Write the model card of the version that was promoted or refused, into its run and the registry.

    Raises `EvaluationMissing` for a run without an evaluation document, and `TrackingUnavailable`.
    """
    promotion = event["promotion"]
    decision = Decision(promotion["decision"], promotion["reason"], promotion["production_version"])
    return written_card.write(promotion["version"], decision, settings)
