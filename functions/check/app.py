"""Lambda *check*: stops a run with too large a share of invalid rows (`readmission.pipeline.check`)."""

from typing import Any

import boto3
from readmission import settings
from readmission.domain.payloads import CheckEvent, CheckResult
from readmission.pipeline.check import check
from readmission.storage.database import connect
from readmission.telemetry import metrics, observability

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
