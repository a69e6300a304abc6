"""Lambda *report*: plots of a training run, and the model card of a version (`readmission.reporting.report`)."""

import os
import tempfile
from typing import Any

from readmission.domain.payloads import CardEvent, PlotsEvent, ReportResult
from readmission.settings import ReportSettings
from readmission.telemetry import metrics, observability

# matplotlib writes its configuration there when it is imported; Lambda's home directory is read-only.
os.environ.setdefault("MPLCONFIGDIR", tempfile.gettempdir())

from readmission.reporting.report import write_card, write_plots

logger = observability.logger("report")
meter = observability.EmfMeter("report")


@logger.inject_lambda_context(correlation_id_path="execution")
@observability.step(logger, meter)
def handler(event: PlotsEvent | CardEvent, context: Any) -> ReportResult:
    """Report on one training run or one promotion."""
    model = ReportSettings.from_environment().model
    if event["task"] == "plots":
        result = write_plots(event, model)
        meter.count(metrics.PLOTS_WRITTEN, len(result["artifacts"]))
    else:
        result = write_card(event, model)
        meter.count(metrics.CARDS_WRITTEN, 1)
    logger.info("reported", extra={**result})
    return result
