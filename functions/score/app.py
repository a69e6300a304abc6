"""Lambda *score*: the steps of a scoring job, plan, chunk and finish (`readmission.bulk`)."""

from functools import cache
from typing import Any

from readmission.bulk.job_files import JobFiles
from readmission.bulk.plan import plan
from readmission.bulk.score import Databases, finish, score
from readmission.domain.jobs import ChunkEvent, ChunkResult, FinishEvent, JobPlan, JobResult, PlanEvent
from readmission.identity.patient_key import PatientKeys
from readmission.registry.production import MlflowRegistry
from readmission.settings import ModelSettings, ScoreSettings
from readmission.storage.database import connect
from readmission.storage.s3 import s3_client
from readmission.telemetry import metrics, observability

logger = observability.logger("score")
meter = observability.EmfMeter("score")


@logger.inject_lambda_context(correlation_id_path="execution")
@observability.step(logger, meter)
def handler(event: PlanEvent | ChunkEvent | FinishEvent, context: Any) -> JobPlan | ChunkResult | JobResult:
    """Do one step of the job."""
    settings = ScoreSettings.from_environment()
    files = JobFiles(s3_client(), settings.data_bucket, event["execution"])
    if event["task"] == "plan":
        planned = plan(event, files, _registry(settings.model), connect("clean", settings.database), settings.source)
        facts = {name: planned[name] for name in ("rows", "model_version", "skipped")}
        logger.info("planned", extra=facts | {"chunks": len(planned["chunks"])})
        return planned
    if event["task"] == "chunk":
        scored = score(event["chunk"], files, _registry(settings.model), _databases(settings))
        meter.count(metrics.ROWS_SCORED, scored["answered"])
        meter.count(metrics.ROWS_REFUSED, scored["refused"])
        logger.info("scored", extra={**scored})
        return scored
    result = finish(files)
    logger.info("finished", extra={name: result[name] for name in ("rows", "answered", "refused", "model_version")})
    return result


def _databases(settings: ScoreSettings) -> Databases:
    login = settings.log
    return Databases(
        histories=lambda: connect("clean", settings.database),
        prediction_log=(lambda: connect("clean", login)) if login else None,
        key_of=_keys().key_of if login else None,
    )


@cache
def _registry(model: ModelSettings) -> MlflowRegistry:
    """One for each execution environment, which keeps the models of the registry."""
    return MlflowRegistry(model)


@cache
def _keys() -> PatientKeys:
    settings = ScoreSettings.from_environment().patient_key
    assert settings is not None
    return PatientKeys(settings)
