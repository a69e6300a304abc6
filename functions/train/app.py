"""Lambda *train*: fits one model family and logs it to MLflow (`readmission.training.train`)."""

from time import perf_counter
from typing import Any

from readmission import settings
from readmission.domain.payloads import TrainEvent, TrainResult
from readmission.storage.database import connect
from readmission.telemetry import metrics, observability
from readmission.training.train import train

logger = observability.logger("train")
meter = observability.EmfMeter("train")


@logger.inject_lambda_context(correlation_id_path="execution")
@observability.step(logger, meter)
def handler(event: TrainEvent, context: Any) -> TrainResult:
    """Train one model."""
    begun = perf_counter()
    with connect("clean", settings.DatabaseSettings.from_environment()) as clean:
        result = train(event, clean, settings.ModelSettings.from_environment())
    meter.observe(metrics.TRAINING_DURATION, perf_counter() - begun, model=result["model"])
    logger.info("trained", extra={**result})
    return result
