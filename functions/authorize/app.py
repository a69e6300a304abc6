"""Lambda *authorize*: who sends a request, for API Gateway (`readmission.serving.authorizer`)."""

from typing import Any

import boto3
from readmission.identity.issuers import Issuers
from readmission.serving.authorizer import UsageKey, authorize
from readmission.settings import AuthorizeSettings
from readmission.storage.secrets import CONFIG
from readmission.telemetry import observability

logger = observability.logger("authorize")

# Once per cold start: the issuers' keys, and the ids of EHRs' tokens, are kept for the requests that follow.
_settings = AuthorizeSettings.from_environment()
issuers = Issuers.of(_settings.identity, _settings.ehr_trust)
usage_key = UsageKey(boto3.client("apigateway", config=CONFIG), _settings.usage_key_id)


@logger.inject_lambda_context(correlation_id_path="requestContext.requestId")
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Say who sends the request."""
    return authorize(event, issuers, usage_key, logger, api_key=_settings.api_key)
