"""What a training run gets besides its figures: plots, and once it is a registered version, a model card.

Both read the run's evaluation document and write artifacts of fixed names, so that doing it again changes nothing.
"""

from readmission.domain.payloads import CardEvent, PlotsEvent, ReportResult
from readmission.registry.runs import Tracking
from readmission.reporting import card, plots
from readmission.settings import ModelSettings


def write_plots(event: PlotsEvent, settings: ModelSettings) -> ReportResult:
    """Draw the run's plots into its artifacts.

    Raises `EvaluationMissing` for a run without evaluation, and `TrackingUnavailable`.
    """
    tracking = Tracking(settings)
    run = tracking.run(event["mlflow_run_id"])
    drawn = plots.draw(tracking.evaluation(run.id), event["model"], run.tags["data_kind"])
    for path, content in drawn.items():
        tracking.write(run, path, content)
    return ReportResult(mlflow_run_id=run.id, artifacts=list(drawn))


def write_card(event: CardEvent, settings: ModelSettings) -> ReportResult:
    """Write the model card of the version that the promotion decided on, into its run and the registry.

    Raises `EvaluationMissing` for a run without evaluation, and `TrackingUnavailable`.
    """
    tracking = Tracking(settings)
    promotion = event["promotion"]
    version = tracking.version(promotion["version"])
    run = tracking.run(version.run_id)
    evaluation = tracking.evaluation(run.id)
    facts = card.Facts(
        name=version.name,
        number=version.number,
        family=promotion["model"],
        data_kind=event["data_kind"],
        run_id=run.id,
        created=card.moment(version.created),
        tags=run.tags,
        params=run.params,
        data_report=tracking.data_report(run.id),
    )
    decision = card.Decision(promotion["decision"], promotion["reason"], promotion["production_version"])
    tracking.write(run, card.MARKDOWN_ARTIFACT, card.markdown(facts, evaluation, decision).encode())
    tracking.write(run, card.HTML_ARTIFACT, card.html(facts, evaluation, decision).encode())
    tracking.describe(version, card.description(facts, evaluation, decision))
    return ReportResult(mlflow_run_id=run.id, artifacts=[card.MARKDOWN_ARTIFACT, card.HTML_ARTIFACT])
