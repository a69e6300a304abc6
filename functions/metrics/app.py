"""Lambda *metrics*: `GET /metrics`, CloudWatch's metrics as Prometheus's (`readmission.telemetry.exporter`)."""

from typing import Any

import boto3
from readmission.http import base_path
from readmission.serving.metrics import either, respond
from readmission.settings import MetricsSettings
from readmission.telemetry import observability
from readmission.telemetry.exporter.auth import SecretToken
from readmission.telemetry.exporter.catalog import Stack
from readmission.telemetry.exporter.cloudwatch import CONFIG, CloudWatch
from readmission.telemetry.exporter.collector import CloudWatchCollector, registry

logger = observability.logger("metrics")
meter = observability.EmfMeter("metrics")

# Once per cold start, because clients are slow to create; no request is sent yet.
_settings = MetricsSettings.from_environment()
token = SecretToken(boto3.client("secretsmanager", config=CONFIG), _settings.token_secret)
tokens = None
if _settings.identity:
    # Imported only here: without an issuer, nothing needs PyJWT.
    from readmission.identity.tokens import Tokens

    tokens = Tokens(_settings.identity)
metric_registry = registry(
    CloudWatchCollector(
        CloudWatch(boto3.client("cloudwatch", config=CONFIG)),
        Stack(_settings.exporter.stack_name, _settings.exporter.state_machine_arn),
        _settings.exporter.cache_seconds,
        logger,
    )
)


@logger.inject_lambda_context
@base_path.stripped
@observability.api(meter)
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answer a request."""
    accepts = either(token.accepts, tokens.actor) if tokens else token.accepts
    return respond(event, accepts, metric_registry, logger, logger.set_correlation_id)
