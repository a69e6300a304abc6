"""Lambda *promote*: registers the best model and decides whether it serves (`readmission.training.promote`)."""

from typing import Any

from aws_lambda_powertools.metrics import MetricUnit
from readmission import observability, settings
from readmission.database import connect
from readmission.payloads import PromoteEvent, PromoteResult
from readmission.training.promote import promote

logger = observability.logger("promote")
metrics = observability.metrics("promote")


@logger.inject_lambda_context
@metrics.log_metrics(capture_cold_start_metric=True)
def handler(event: PromoteEvent, context: Any) -> PromoteResult:
    """Promote one execution's best model."""
    with connect("clean", settings.DatabaseSettings.from_environment()) as clean:
        result = promote(event, clean, settings.ModelSettings.from_environment())
    metrics.add_metric(observability.MODELS_PROMOTED, MetricUnit.Count, int(result["decision"] == "promoted"))
    logger.info("decided", extra={**result})
    return result
