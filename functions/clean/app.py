"""Lambda *clean*: turns one batch of raw rows into clean rows (`readmission.pipeline.clean`)."""

from typing import Any

from readmission.domain.payloads import BatchEvent, CleanResult
from readmission.pipeline.clean import clean
from readmission.settings import CleanSettings
from readmission.storage.database import connect
from readmission.storage.s3 import s3_client
from readmission.telemetry import metrics, observability

logger = observability.logger("clean")
meter = observability.EmfMeter("clean")


@logger.inject_lambda_context(correlation_id_path="execution")
@observability.step(logger, meter)
def handler(event: BatchEvent, context: Any) -> CleanResult:
    """Clean one batch."""
    settings = CleanSettings.from_environment()
    with connect("raw", settings.database) as raw, connect("clean", settings.database) as target:
        result = clean(event, settings.data_bucket, s3_client(), raw, target)
    meter.count(metrics.ROWS_CLEANED, result["cleaned"])
    meter.count(metrics.ROWS_QUARANTINED, result["quarantined"])
    logger.info("cleaned", extra={**result})
    return result
