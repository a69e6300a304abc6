"""Lambda *ingest*: loads one batch into the raw table (`readmission.pipeline.ingest`)."""

from functools import cache
from typing import Any

import boto3
from readmission import settings
from readmission.domain.payloads import BatchEvent, IngestResult
from readmission.pipeline.ingest import ingest
from readmission.storage.database import connect
from readmission.telemetry import metrics, observability

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
