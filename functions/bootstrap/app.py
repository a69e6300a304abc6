"""Lambda *bootstrap*: makes the databases and their users on AWS, and rotates their passwords.

It belongs to the platform's stack (`infra/aws/platform.yaml`), not to the application's. CloudFormation calls it as a
custom resource, Secrets Manager as a rotation function, and an operator with `{}` to set everything up again.
"""

import json
import urllib.request
from typing import Any

from readmission.settings import BootstrapSettings
from readmission.storage.provisioning import rotate, set_up
from readmission.telemetry import observability

logger = observability.logger("bootstrap")


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """A custom resource's request, a rotation's step, or `{}`."""
    if "ResponseURL" in event:
        return _custom_resource(event)
    settings = BootstrapSettings.from_environment()
    if "Step" in event:
        rotate(event, settings)  # type: ignore[arg-type]
        logger.info("rotated", extra={"step": event["Step"], "secret": event["SecretId"]})
        return {}
    return {"created": set_up(settings)}


def _custom_resource(event: dict[str, Any]) -> dict[str, Any]:
    """CloudFormation waits for the answer, so one is sent whatever happens.

    A deletion deletes nothing: the databases go, or stay, with their server.
    """
    answer = {name: event[name] for name in ("StackId", "RequestId", "LogicalResourceId")}
    answer |= {"Status": "SUCCESS", "PhysicalResourceId": "databases"}
    try:
        if event["RequestType"] != "Delete":
            created = set_up(BootstrapSettings.from_environment())
            logger.info("set up", extra={"made": created})
    except Exception as error:
        logger.exception("setting up the databases failed")
        answer |= {"Status": "FAILED", "Reason": f"{type(error).__name__}: {error}"[:1000]}
    body = json.dumps(answer).encode()
    request = urllib.request.Request(event["ResponseURL"], body, {"Content-Type": ""}, method="PUT")
    with urllib.request.urlopen(request, timeout=10):
        return answer
