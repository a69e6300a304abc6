"""Lambda *check*: stops a run with too large a share of invalid rows (`readmission.check`)."""

from typing import Any

import boto3
from aws_lambda_powertools.metrics import MetricUnit
from readmission import observability, settings
from readmission.check import check
from readmission.database import connect
from readmission.payloads import CheckEvent, CheckResult

logger = observability.logger("check")
metrics = observability.metrics("check")


@logger.inject_lambda_context(correlation_id_path="execution")
@metrics.log_metrics(capture_cold_start_metric=True)
def handler(event: CheckEvent, context: Any) -> CheckResult:
    """Check one execution's data."""
    database = settings.DatabaseSettings.from_environment()
    with connect("clean", database) as clean:
        result = check(event, settings.data_bucket(), boto3.client("s3"), clean, settings.max_invalid_share())
    metrics.add_metric(observability.ROWS_CHECKED, MetricUnit.Count, result["rows"])
    logger.info("checked", extra={**result})
    return result
