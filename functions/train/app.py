"""Lambda *train*: trains one model family and logs the run to MLflow (`readmission.training.train`).

An operator's `{"recalibrate": {"site": …}}` makes a run of a version recalibrated for a site instead
(`readmission.training.recalibrate`).

If a SageMaker training job is to train it, the function says so, and says afterwards what became of it
(`readmission.training.placement`).
"""

from time import perf_counter
from typing import Any, cast

from readmission.domain.payloads import AfterJobEvent, JobRequest, RecalibrationResult, TrainEvent, TrainResult
from readmission.settings import TrainingJobSettings, TrainSettings
from readmission.storage.database import connect
from readmission.telemetry import metrics, observability
from readmission.training.placement import after_job, job_for
from readmission.training.recalibrate import recalibrate
from readmission.training.train import finished, train

logger = observability.logger("train")
meter = observability.EmfMeter("train")


@logger.inject_lambda_context(correlation_id_path="execution")
@observability.step(logger, meter)
def handler(event: Any, context: Any) -> TrainResult | JobRequest | RecalibrationResult:
    """Train one model, or have it trained: a `TrainEvent` or an `AfterJobEvent`. Or recalibrate one."""
    settings, jobs = TrainSettings.from_environment(), TrainingJobSettings.from_environment()
    if "recalibrate" in event:
        with connect("clean", settings.database) as clean:
            recalibrated = recalibrate(event["recalibrate"], clean, settings.model)
        logger.info("recalibrated", extra={**recalibrated})
        return recalibrated
    if event.get("after_job"):
        result = after_job(cast(AfterJobEvent, event), jobs, settings.model)
        logger.info("after a training job", extra={**result})
        return result
    return _train(cast(TrainEvent, event), settings, jobs)


def _train(event: TrainEvent, settings: TrainSettings, jobs: TrainingJobSettings) -> TrainResult | JobRequest:
    start = perf_counter()
    with connect("clean", settings.database) as clean:
        if request := job_for(event, clean, jobs, settings.model):
            # A redriven execution may have had its job already.
            return finished(event, settings.model) or request
        result = train(event, clean, settings.model)
    meter.observe(metrics.TRAINING_DURATION, perf_counter() - start, model=result["model"])
    logger.info("trained", extra={**result})
    return result
