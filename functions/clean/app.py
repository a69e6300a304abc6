"""Lambda *clean*: turns one batch's raw rows into clean ones (`readmission.clean`)."""

from typing import Any

import boto3
from aws_lambda_powertools.metrics import MetricUnit
from readmission import observability, settings
from readmission.clean import clean
from readmission.database import connect
from readmission.payloads import BatchEvent, CleanResult

logger = observability.logger("clean")
metrics = observability.metrics("clean")


@logger.inject_lambda_context(correlation_id_path="execution")
@metrics.log_metrics(capture_cold_start_metric=True)
def handler(event: BatchEvent, context: Any) -> CleanResult:
    """Clean one batch."""
    database = settings.DatabaseSettings.from_environment()
    with connect("raw", database) as raw, connect("clean", database) as target:
        result = clean(event, settings.data_bucket(), boto3.client("s3"), raw, target)
    metrics.add_metric(observability.ROWS_CLEANED, MetricUnit.Count, result["cleaned"])
    metrics.add_metric(observability.ROWS_QUARANTINED, MetricUnit.Count, result["quarantined"])
    logger.info("cleaned", extra={**result})
    return result
