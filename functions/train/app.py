"""Lambda *train*: fits one model family and logs it to MLflow (`readmission.training.train`)."""

from typing import Any

from aws_lambda_powertools.metrics import MetricUnit
from readmission import observability, settings
from readmission.database import connect
from readmission.payloads import TrainEvent, TrainResult
from readmission.training.train import train

logger = observability.logger("train")
metrics = observability.metrics("train")


@logger.inject_lambda_context(correlation_id_path="execution")
@metrics.log_metrics(capture_cold_start_metric=True)
def handler(event: TrainEvent, context: Any) -> TrainResult:
    """Train one model."""
    with connect("clean", settings.DatabaseSettings.from_environment()) as clean:
        result = train(event, clean, settings.ModelSettings.from_environment())
    metrics.add_metric(observability.MODELS_TRAINED, MetricUnit.Count, 1)
    logger.info("trained", extra={**result})
    return result
