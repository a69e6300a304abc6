"""Lambda *train*: trains one model family and logs the run to MLflow (`readmission.training.train`)."""

from time import perf_counter
from typing import Any

from readmission.domain.payloads import TrainEvent, TrainResult
from readmission.settings import TrainSettings
from readmission.storage.database import connect
from readmission.telemetry import metrics, observability
from readmission.training.train import train

logger = observability.logger("train")
meter = observability.EmfMeter("train")


@logger.inject_lambda_context(correlation_id_path="execution")
@observability.step(logger, meter)
def handler(event: TrainEvent, context: Any) -> TrainResult:
    """Train one model."""
    start = perf_counter()
    settings = TrainSettings.from_environment()
    with connect("clean", settings.database) as clean:
        result = train(event, clean, settings.model)
    meter.observe(metrics.TRAINING_DURATION, perf_counter() - start, model=result["model"])
    logger.info("trained", extra={**result})
    return result
