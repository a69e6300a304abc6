"""Lambda *record*: copies messages of the queue into the prediction log, and deletes old forecasts from it."""

from typing import Any

from pg8000.exceptions import DatabaseError
from readmission.pipeline.record import Received, Recorded, delete_old, is_not_migrated, record
from readmission.settings import RecordSettings
from readmission.storage.database import connect
from readmission.storage.migrations import migrate
from readmission.storage.s3 import s3_client
from readmission.telemetry import metrics, observability

# What the deletion of a last part may take.
_LAST_MILLISECONDS = 10_000

logger = observability.logger("record")
meter = observability.EmfMeter("record")


@logger.inject_lambda_context
@observability.logged(logger, meter)
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """A batch of messages of the queue, or `{"delete_old": {}}` of the schedule.

    Answers which messages the queue has to deliver again; after some times, it puts them into the dead-letter queue.
    """
    settings = RecordSettings.from_environment()
    if "delete_old" in event:
        return _delete_old(settings, context)
    received = [Received(one["messageId"], one["body"]) for one in event["Records"]]
    try:
        result = _record(received, settings)
    except DatabaseError as error:
        if not is_not_migrated(error):
            raise
        # Only plan and promote migrate otherwise, and forecasts may come before the next run.
        with connect("clean", settings.owner) as clean:
            migrate(clean, "clean")
        result = _record(received, settings)
    _tell(result)
    return {"batchItemFailures": [{"itemIdentifier": one} for one in (*result.refused, *result.again)]}


def _record(received: list[Received], settings: RecordSettings) -> Recorded:
    with connect("clean", settings.database) as clean:
        return record(received, settings.data_bucket, s3_client(), clean)


def _tell(result: Recorded) -> None:
    meter.count(metrics.PREDICTIONS_RECORDED, result.added)
    meter.count(metrics.PREDICTIONS_REPEATED, result.repeated)
    meter.count(metrics.PREDICTION_MESSAGES_REFUSED, len(result.refused))
    for message_id, why in result.refused.items():
        logger.error("a message cannot be read: %s", why, extra={"message_id": message_id})
    for message_id, why in result.again.items():
        logger.warning("a message cannot be read now: %s", why, extra={"message_id": message_id})
    logger.info("recorded", extra={"added": result.added, "repeated": result.repeated, "feedback": result.feedback})


def _delete_old(settings: RecordSettings, context: Any) -> dict[str, int]:
    with connect("clean", settings.database) as clean:
        deleted = delete_old(
            clean, settings.retention_days, lambda: context.get_remaining_time_in_millis() > _LAST_MILLISECONDS
        )
    meter.count(metrics.PREDICTIONS_DELETED, deleted)
    logger.info("deleted old forecasts", extra={"deleted": deleted})
    return {"deleted": deleted}
