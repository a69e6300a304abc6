"""Lambda *ingest*: loads one batch into the raw table (`readmission.ingest`)."""

from functools import cache
from typing import Any

import boto3
from readmission import metrics, observability, settings
from readmission.database import connect
from readmission.ingest import ingest
from readmission.payloads import BatchEvent, IngestResult

logger = observability.logger("ingest")
meter = observability.EmfMeter("ingest")


@logger.inject_lambda_context(correlation_id_path="execution")
@observability.step(logger, meter)
def handler(event: BatchEvent, context: Any) -> IngestResult:
    """Ingest one batch."""
    with connect("raw", settings.DatabaseSettings.from_environment()) as raw:
        result = ingest(event, settings.data_bucket(), _s3(), raw)
    meter.count(metrics.ROWS_READ, result["rows"])
    meter.count(metrics.ROWS_ADDED, result["added"])
    logger.info("ingested", extra={**result})
    return result


@cache
def _s3() -> Any:
    """One for all batches of an environment: making it takes as long as fetching a batch."""
    return boto3.client("s3")
