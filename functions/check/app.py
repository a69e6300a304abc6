"""Lambda *check*: fails a run that has too large a share of invalid rows (`readmission.pipeline.check`)."""

from typing import Any

from readmission.domain.payloads import CheckEvent, CheckResult
from readmission.pipeline.check import check
from readmission.settings import CheckSettings
from readmission.storage.database import connect
from readmission.storage.s3 import s3_client
from readmission.telemetry import metrics, observability

logger = observability.logger("check")
meter = observability.EmfMeter("check")


@logger.inject_lambda_context(correlation_id_path="execution")
@observability.step(logger, meter)
def handler(event: CheckEvent, context: Any) -> CheckResult:
    """Check the data of one execution."""
    settings = CheckSettings.from_environment()
    with connect("clean", settings.database) as clean:
        result = check(event, settings.data_bucket, s3_client(), clean, settings.max_invalid_share)
    meter.count(metrics.ROWS_CHECKED, result["rows"])
    logger.info("checked", extra={**result})
    return result
