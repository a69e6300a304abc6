"""Lambda *jobs*: `POST /jobs` and `GET /jobs/{id}`, scoring jobs, behind API Gateway (`readmission.serving.jobs`)."""

from typing import Any

from readmission.http import base_path
from readmission.serving.job_machine import job_machine
from readmission.serving.jobs import respond
from readmission.settings import CorsSettings, GatewaySettings, JobsSettings
from readmission.storage.job_files import JobFiles
from readmission.storage.s3 import s3_client
from readmission.telemetry import observability

logger = observability.logger("jobs")
meter = observability.EmfMeter("jobs")
_cors = CorsSettings.from_environment()

_IDENTIFIED = GatewaySettings.from_environment().identified


@logger.inject_lambda_context
@base_path.stripped
@observability.api(meter)
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answer a request."""
    settings = JobsSettings.from_environment()
    return respond(
        event,
        job_machine(settings.state_machine),
        lambda job: JobFiles(s3_client(), settings.data_bucket, job),
        logger,
        logger.set_correlation_id,
        _cors.origins,
        identified=_IDENTIFIED,
    )
