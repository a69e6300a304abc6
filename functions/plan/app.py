"""Lambda *plan*: validates the execution's input and splits the source into batches (`readmission.pipeline.plan`)."""

from datetime import timedelta
from typing import Any, Final

from readmission.domain.payloads import Plan, PlanEvent, parse_request
from readmission.pipeline import mapping_file, runs, sources
from readmission.pipeline.adoption import adopt
from readmission.pipeline.plan import Databases, plan, skip
from readmission.pipeline.sources import Reading
from readmission.settings import PlanSettings
from readmission.storage.database import connect
from readmission.storage.migrations import migrate
from readmission.storage.s3 import s3_client
from readmission.telemetry import metrics, observability

logger = observability.logger("plan")
meter = observability.EmfMeter("plan")

# A migration may rewrite a table of all rows. The function itself may run 900 s.
_MIGRATION_SECONDS: Final = 870


@logger.inject_lambda_context(correlation_id_path="execution")
@observability.step(logger, meter)
def handler(event: PlanEvent, context: Any) -> Plan:
    """Plan one execution."""
    request = parse_request(event["input"])
    # Who and why come first: they are known even if the rest fails.
    logger.info("started", extra={name: getattr(request, name) for name in ("started_by", "actor", "reason")})
    settings = PlanSettings.from_environment()
    source = request.source or settings.default_source
    if request.start_at == "ingest":
        sources.check(source, settings.sources)
    s3 = s3_client()
    own = request.mapping or mapping_file.of_incoming(request, settings.data_bucket, s3)
    mapping = mapping_file.read(own, source, s3)
    reading = Reading(settings.sources, mapping)
    owner = settings.owner, _MIGRATION_SECONDS
    with connect("raw", *owner) as raw, connect("clean", *owner) as clean:
        migrate(raw, "raw")
        migrate(clean, "clean")
    pause = timedelta(hours=settings.retrain_pause_hours)
    with connect("raw", settings.database) as raw, connect("clean", settings.database) as clean:
        if why := runs.register(clean, event["execution"], event["started_at"], request, pause):
            logger.info("skipped", extra={"why": why})
            return skip(request, source, why)
        adopted = adopt(raw, clean)
        databases = Databases(raw, clean)
        planned = plan(event, request, source, settings.data_bucket, s3, databases, reading=reading)
    meter.count(metrics.ROWS_PLANNED, planned["rows"])
    meter.count(metrics.BATCHES_PLANNED, len(planned["batches"]))
    if adopted:
        logger.info("took over what an earlier release loaded", extra={"deliveries": adopted})
    if mapping:
        logger.info("read the source by a mapping", extra={"mapping": own, "mapping_hash": mapping.digest})
    if "erased" in planned:
        logger.info("left out the rows of erased patients", extra={"rows": planned["erased"]})
    logger.info("planned", extra={name: planned[name] for name in ("source", "data_kind", "site", "rows")})
    return planned
