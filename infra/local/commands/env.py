"""`make env`: shell exports for clients of the platform."""

import shlex

from infra.local import aws, stack
from infra.local.servers import supervision
from infra.local.settings import Settings


def exports(settings: Settings) -> str:
    """One `export NAME=value` per line: AWS and MLflow always, the API and Prometheus when they exist."""
    variables = aws.environment(settings) | {"MLFLOW_TRACKING_URI": settings.mlflow_url}
    if deployed := stack.find(settings):
        variables |= {
            "API_URL": deployed.api_url,
            "API_KEY": deployed.api_key,
            "API_CA": str(settings.certificate),
            "METRICS_TOKEN": deployed.metrics_token,
            "STATE_MACHINE_ARN": deployed.pipeline_arn,
        }
    if supervision.runs(settings, "prometheus"):
        variables["PROMETHEUS_URL"] = settings.prometheus_url
    return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in variables.items())
