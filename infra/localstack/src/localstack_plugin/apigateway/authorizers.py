"""Lambda authorizers of REST APIs.

LocalStack 2026.3.0 keeps authorizers, but asks none: a method that only an authorizer protects is open to everybody.
"""

import json
from functools import cache
from typing import Any

from localstack.services.apigateway.models import apigateway_stores
from localstack.services.apigateway.next_gen.execute_api import handlers
from localstack.services.apigateway.next_gen.execute_api.context import RestApiInvocationContext
from localstack.services.apigateway.next_gen.execute_api.gateway_response import (
    AccessDeniedError,
    AuthorizerConfigurationError,
    AuthorizerFailureError,
    UnauthorizedError,
)
from localstack.services.apigateway.next_gen.execute_api.header_utils import build_multi_value_headers
from localstack.services.apigateway.next_gen.execute_api.integrations.aws import RestApiAwsProxyIntegration

_REQUEST = "REQUEST"
_UNAUTHORIZED = "Unauthorized"


@cache
def install() -> None:
    """Further calls do nothing."""
    handlers.preprocess_request.handlers.append(ask_authorizer)


def ask_authorizer(chain: Any, context: RestApiInvocationContext, response: Any) -> None:
    """Asks the method's authorizer, if it has one, and lets only those go on whom it allows to.

    Raises the error that the gateway answers: 401, 403, or 500 if the authorizer fails.
    """
    method = context.resource_method
    if method.get("authorizationType") != "CUSTOM":
        return
    authorizer = _authorizer(context, method.get("authorizerId"))
    if authorizer.get("type") != _REQUEST:
        raise AuthorizerConfigurationError(f"This emulator knows no authorizers of type {authorizer.get('type')}")
    answer = _invoke(context, authorizer)
    if not _allows(answer):
        raise AccessDeniedError("User is not authorized to access this resource with an explicit deny")
    variables = context.context_variables
    variables["authorizer"] = {"principalId": answer["principalId"], **(answer.get("context") or {})}
    if key := answer.get("usageIdentifierKey"):
        variables["identity"]["apiKey"] = key
    else:
        # The authorizer decides which key a request has, so the header of the client does not count.
        variables["identity"].pop("apiKey", None)


def _authorizer(context: RestApiInvocationContext, identifier: str | None) -> dict[str, Any]:
    store = apigateway_stores[context.account_id][context.region]
    api = store.rest_apis.get(context.api_id)
    found: dict[str, Any] | None = api.authorizers.get(identifier) if api else None
    if found is None:
        raise AuthorizerConfigurationError("The method has an authorizer that does not exist")
    return found


def _invoke(context: RestApiInvocationContext, authorizer: dict[str, Any]) -> dict[str, Any]:
    """What the function answers. Raises the gateway's error if it fails."""
    function = authorizer["authorizerUri"].split("/functions/", 1)[1].removesuffix("/invocations")
    arn = f"arn:aws:execute-api:{context.region}:{context.account_id}:{context.api_id}"
    payload = RestApiAwsProxyIntegration.call_lambda(
        function_arn=function,
        event=json.dumps(_event(context, arn)).encode(),
        source_arn=f"{arn}/authorizers/{authorizer['id']}",
    )
    try:
        answer = json.loads(payload)
    except ValueError:
        answer = None
    if isinstance(answer, dict) and answer.get("errorMessage") == _UNAUTHORIZED:
        raise UnauthorizedError(_UNAUTHORIZED)
    if not isinstance(answer, dict) or not {"principalId", "policyDocument"} <= answer.keys():
        raise AuthorizerFailureError(None)
    return answer


def _event(context: RestApiInvocationContext, arn: str) -> dict[str, Any]:
    """The event of a REQUEST authorizer: the method's, without the body."""
    request = context.invocation_request
    headers = request["headers"]
    return {
        "type": _REQUEST,
        "methodArn": f"{arn}/{context.stage}/{request['http_method']}/{request['path'].lstrip('/')}",
        "resource": context.resource["path"],
        "path": request["path"],
        "httpMethod": request["http_method"],
        "headers": dict(headers),
        "multiValueHeaders": build_multi_value_headers(headers),
        "queryStringParameters": request["query_string_parameters"] or None,
        "multiValueQueryStringParameters": request["multi_value_query_string_parameters"] or None,
        "pathParameters": request["path_parameters"] or None,
        "stageVariables": context.stage_variables,
        "requestContext": context.context_variables,
    }


def _allows(answer: dict[str, Any]) -> bool:
    """Whether a statement allows, and none denies. The resources that they name are not compared."""
    statements = answer["policyDocument"].get("Statement") or []
    effects = {one.get("Effect") for one in (statements if isinstance(statements, list) else [statements])}
    return effects == {"Allow"}
