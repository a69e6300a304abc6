"""Lambda *check*: stops a run with too large a share of invalid rows (`readmission.check`)."""

from typing import Any

import boto3
from readmission import metrics, observability, settings
from readmission.check import check
from readmission.database import connect
from readmission.payloads import CheckEvent, CheckResult

logger = observability.logger("check")
meter = observability.EmfMeter("check")


@logger.inject_lambda_context(correlation_id_path="execution")
@observability.step(logger, meter)
def handler(event: CheckEvent, context: Any) -> CheckResult:
    """Check one execution's data."""
    database = settings.DatabaseSettings.from_environment()
    with connect("clean", database) as clean:
        result = check(event, settings.data_bucket(), boto3.client("s3"), clean, settings.max_invalid_share())
    meter.count(metrics.ROWS_CHECKED, result["rows"])
    logger.info("checked", extra={**result})
    return result
