"""Lambda *ingest*: loads one batch into the raw table (`readmission.pipeline.ingest`)."""

from typing import Any

from readmission.domain.payloads import BatchEvent, IngestResult
from readmission.pipeline.ingest import ingest
from readmission.settings import IngestSettings
from readmission.storage.database import connect
from readmission.storage.s3 import s3_client
from readmission.telemetry import metrics, observability

logger = observability.logger("ingest")
meter = observability.EmfMeter("ingest")


@logger.inject_lambda_context(correlation_id_path="execution")
@observability.step(logger, meter)
def handler(event: BatchEvent, context: Any) -> IngestResult:
    """Ingest one batch."""
    settings = IngestSettings.from_environment()
    with connect("raw", settings.database) as raw:
        result = ingest(event, settings.data_bucket, s3_client(), raw)
    meter.count(metrics.ROWS_READ, result["rows"])
    meter.count(metrics.ROWS_ADDED, result["added"])
    logger.info("ingested", extra={**result})
    return result
