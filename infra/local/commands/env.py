"""`make env`: shell exports for clients of the platform."""

import shlex
from collections.abc import Mapping

from infra.local import aws, environment, stack
from infra.local.servers import supervision
from infra.local.settings import Settings

GUARD = """\
sam() {
  case " $* " in
    *" --config-env aws "* | *" --config-env=aws "*)
      echo "This shell points at LocalStack (make env). Run sam $* in a new shell, where it reaches AWS." >&2
      return 1 ;;
  esac
  command sam "$@"
}"""
"""Keeps `sam deploy --config-env aws` from deploying to LocalStack what is meant for AWS."""

LOG = {
    "PREDICTION_QUEUE_URL": "PredictionQueueUrl",
    "PATIENT_KEY_SECRET": "PatientKeySecret",
    "DATA_BUCKET": "DataBucketName",
}
"""What `make serve PREDICTION_LOG=on` needs, by the outputs of a stack with a prediction log."""
API = ("API_URL", "API_KEY", "API_CA", "METRICS_TOKEN", "STATE_MACHINE_ARN")


def exports(settings: Settings, caller: Mapping[str, str]) -> str:
    """One `export NAME=value` per line: AWS and MLflow always, the API and Prometheus when they exist.

    Before them, `unset` with the caller's variables that would send clients elsewhere. Then the function `GUARD`.
    """
    variables = aws.environment(settings) | {"MLFLOW_TRACKING_URI": settings.mlflow_url} | environment.direct(caller)
    if deployed := stack.find(settings):
        variables |= {
            "API_URL": deployed.api_url,
            "API_KEY": deployed.api_key,
            "API_CA": str(settings.certificate),
            "METRICS_TOKEN": deployed.metrics_token,
            "STATE_MACHINE_ARN": deployed.pipeline_arn,
        }
        if deployed.outputs.keys() >= set(LOG.values()):
            variables |= {name: deployed.outputs[output] for name, output in LOG.items()}
    if supervision.runs(settings, "prometheus"):
        variables["PROMETHEUS_URL"] = settings.prometheus_url
    unset = [name for name in (*environment.foreign(caller), *API) if name in caller and name not in variables]
    lines = [f"unset {' '.join(unset)}"] if unset else []
    lines += [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
    return "\n".join([*lines, GUARD])
