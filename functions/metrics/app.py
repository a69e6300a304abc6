"""Lambda *metrics*: `GET /metrics`, CloudWatch's metrics as Prometheus's (`readmission.telemetry.exporter`)."""

from typing import Any

import boto3
from readmission import settings
from readmission.serving.metrics import respond
from readmission.telemetry import observability
from readmission.telemetry.exporter.auth import SecretToken
from readmission.telemetry.exporter.catalog import Stack
from readmission.telemetry.exporter.cloudwatch import CONFIG, CloudWatch
from readmission.telemetry.exporter.collector import CloudWatchCollector, registry

logger = observability.logger("metrics")
meter = observability.EmfMeter("metrics")

# Once per cold start: clients take long to make. Nothing is asked yet.
_settings = settings.ExporterSettings.from_environment()
_token = SecretToken(boto3.client("secretsmanager", config=CONFIG), settings.metrics_token_secret())
_registry = registry(
    CloudWatchCollector(
        CloudWatch(boto3.client("cloudwatch", config=CONFIG)),
        Stack(_settings.stack_name, _settings.state_machine_arn),
        _settings.cache_seconds,
        logger,
    )
)


@logger.inject_lambda_context
@observability.api(meter)
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answer a request."""
    return respond(event, _token.accepts, _registry, logger)
