"""Lambda *clean*: turns one batch's raw rows into clean ones (`readmission.pipeline.clean`)."""

from functools import cache
from typing import Any

import boto3
from readmission import settings
from readmission.domain.payloads import BatchEvent, CleanResult
from readmission.pipeline.clean import clean
from readmission.storage.database import connect
from readmission.telemetry import metrics, observability

logger = observability.logger("clean")
meter = observability.EmfMeter("clean")


@logger.inject_lambda_context(correlation_id_path="execution")
@observability.step(logger, meter)
def handler(event: BatchEvent, context: Any) -> CleanResult:
    """Clean one batch."""
    database = settings.DatabaseSettings.from_environment()
    with connect("raw", database) as raw, connect("clean", database) as target:
        result = clean(event, settings.data_bucket(), _s3(), raw, target)
    meter.count(metrics.ROWS_CLEANED, result["cleaned"])
    meter.count(metrics.ROWS_QUARANTINED, result["quarantined"])
    logger.info("cleaned", extra={**result})
    return result


@cache
def _s3() -> Any:
    """One for all batches of an environment: making it takes as long as fetching a batch."""
    return boto3.client("s3")
