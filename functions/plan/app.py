"""Lambda *plan*: checks the execution's input and cuts the source into batches (`readmission.batches`)."""

from typing import Any

import boto3
from aws_lambda_powertools.metrics import MetricUnit
from readmission import observability, settings
from readmission.batches import plan
from readmission.database import connect
from readmission.migrations import migrate
from readmission.payloads import Plan, PlanEvent, parse_request

logger = observability.logger("plan")
metrics = observability.metrics("plan")


@logger.inject_lambda_context(correlation_id_path="execution")
@metrics.log_metrics(capture_cold_start_metric=True)
def handler(event: PlanEvent, context: Any) -> Plan:
    """Plan one execution."""
    request = parse_request(event["input"])
    source = request.source or settings.default_source()
    database = settings.DatabaseSettings.from_environment()
    with connect("raw", database) as raw, connect("clean", database) as clean:
        migrate(raw, "raw")
        migrate(clean, "clean")
        planned = plan(event, request, source, settings.data_bucket(), boto3.client("s3"), raw)
    metrics.add_metric(observability.ROWS_PLANNED, MetricUnit.Count, planned["rows"])
    metrics.add_metric(observability.BATCHES_PLANNED, MetricUnit.Count, len(planned["batches"]))
    logger.info("planned", extra={name: planned[name] for name in ("source", "data_kind", "rows")})
    return planned
