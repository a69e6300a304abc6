"""Lambda *monitor*: how good the forecasts are on what has arrived since (`readmission.monitoring.monitor`).

The last step of an execution calls it, EventBridge by a schedule, and an operator with `{"started_by": "…"}`.
"""

from typing import Any

from readmission.domain.payloads import MonitorEvent, MonitorResult
from readmission.monitoring import notice
from readmission.monitoring.monitor import measures, monitor, result_of
from readmission.settings import MonitorSettings
from readmission.storage.database import connect
from readmission.storage.s3 import s3_client
from readmission.telemetry import metrics, observability

logger = observability.logger("monitor")
meter = observability.EmfMeter("monitor")


@logger.inject_lambda_context(correlation_id_path="execution")
@observability.step(logger, meter)
def handler(event: Any, context: Any) -> MonitorResult:
    """Make the document; `event` is a `MonitorEvent`, or a scheduled event of EventBridge."""
    settings = MonitorSettings.from_environment()
    asked = MonitorEvent(started_by="schedule") if event.get("source") == "aws.events" else event
    with connect("clean", settings.database) as clean:
        document = monitor(asked, clean, s3_client(), settings)
    for name, value, dimensions in measures(document):
        meter.set(name, value, **dimensions)
    result = result_of(document)
    meter.set(metrics.MONITOR_ALERTS, result["alerts"])
    if settings.events and (detail := notice.of(document, settings.stack)):
        notice.send(detail)
    logger.info("monitored", extra={**result})
    return result
