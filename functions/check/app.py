"""Lambda *check*: accepts or refuses a run's deliveries, withdraws and lists deliveries (`readmission.pipeline`)."""

from typing import Any

from readmission.domain.payloads import CheckEvent, CheckResult, WithdrawalResult
from readmission.pipeline import deliveries
from readmission.pipeline.check import check
from readmission.pipeline.publication import withdraw
from readmission.settings import CheckSettings
from readmission.storage.database import connect
from readmission.storage.s3 import s3_client
from readmission.telemetry import metrics, observability

_LISTED = 100

logger = observability.logger("check")
meter = observability.EmfMeter("check")


@logger.inject_lambda_context(correlation_id_path="execution")
def handler(event: Any, context: Any) -> Any:
    """A `CheckEvent` of the state machine, or an operator's `{"withdraw": {…}}` or `{"deliveries": {}}`."""
    if "deliveries" in event:
        with connect("clean", CheckSettings.from_environment().database) as clean:
            return deliveries.read(clean, _LISTED)
    return _withdraw(event["withdraw"]) if "withdraw" in event else _check(event, context)


@observability.step(logger, meter)
def _check(event: CheckEvent, context: Any) -> CheckResult:
    settings = CheckSettings.from_environment()
    with connect("clean", settings.database) as clean:
        result = check(event, settings.data_bucket, s3_client(), clean, settings.max_invalid_share)
    meter.count(metrics.ROWS_CHECKED, result["rows"])
    logger.info("checked", extra={**result})
    return result


def _withdraw(request: Any) -> WithdrawalResult:
    with connect("clean", CheckSettings.from_environment().database) as clean:
        result = withdraw(request, clean)
    logger.info("withdrew", extra={**result})
    return result
