"""Lambda *report*: plots of a training run, and the model card of a version (`readmission.reporting.report`)."""

import os
import tempfile
from typing import Any

from aws_lambda_powertools.metrics import MetricUnit
from readmission import observability, settings
from readmission.payloads import CardEvent, PlotsEvent, ReportResult

# matplotlib asks for it when it is imported, and Lambda's home folder cannot be written to.
os.environ.setdefault("MPLCONFIGDIR", tempfile.gettempdir())

from readmission.reporting.report import write_card, write_plots

logger = observability.logger("report")
metrics = observability.metrics("report")


@logger.inject_lambda_context(correlation_id_path="execution")
@metrics.log_metrics(capture_cold_start_metric=True)
def handler(event: PlotsEvent | CardEvent, context: Any) -> ReportResult:
    """Report on one training run or one promotion."""
    model = settings.ModelSettings.from_environment()
    if event["task"] == "plots":
        result = write_plots(event, model)
        metrics.add_metric(observability.PLOTS_WRITTEN, MetricUnit.Count, len(result["artifacts"]))
    else:
        result = write_card(event, model)
        metrics.add_metric(observability.CARDS_WRITTEN, MetricUnit.Count, 1)
    logger.info("reported", extra={**result})
    return result
