"""Lambda *ingest*: loads one batch into the raw table (`readmission.ingest`)."""

from typing import Any

import boto3
from aws_lambda_powertools.metrics import MetricUnit
from readmission import observability, settings
from readmission.database import connect
from readmission.ingest import ingest
from readmission.payloads import BatchEvent, IngestResult

logger = observability.logger("ingest")
metrics = observability.metrics("ingest")


@logger.inject_lambda_context(correlation_id_path="execution")
@metrics.log_metrics(capture_cold_start_metric=True)
def handler(event: BatchEvent, context: Any) -> IngestResult:
    """Ingest one batch."""
    with connect("raw", settings.DatabaseSettings.from_environment()) as raw:
        result = ingest(event, settings.data_bucket(), boto3.client("s3"), raw)
    metrics.add_metric(observability.ROWS_READ, MetricUnit.Count, result["rows"])
    metrics.add_metric(observability.ROWS_ADDED, MetricUnit.Count, result["added"])
    logger.info("ingested", extra={**result})
    return result
