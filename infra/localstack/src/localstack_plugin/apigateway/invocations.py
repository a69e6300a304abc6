"""Calls the functions of REST APIs without a request to LocalStack's own Lambda API.

LocalStack's gateway calls Lambda by a boto3 client. Even in memory, making, signing, routing, reading and answering
that request takes a quarter of what LocalStack computes for a request to an API.
"""

from collections.abc import Callable
from functools import cache, partial
from typing import Any
from uuid import uuid4

from botocore.exceptions import ClientError
from localstack.aws.api import ServiceException
from localstack.aws.api.lambda_ import InvocationType
from localstack.services.apigateway.next_gen.execute_api.integrations.aws import RestApiAwsProxyIntegration
from localstack.services.lambda_.api_utils import function_locators_from_arn
from localstack.services.plugins import SERVICE_PLUGINS


def call_lambda(
    original: Callable[..., bytes], function_arn: str, event: bytes, source_arn: str, credentials: str | None = None
) -> bytes:
    """The function's answer or error, as Lambda's API returns it.

    Raises `ClientError` where the API refuses the invocation. With a role in `credentials`, the original is called.
    """
    name, qualifier, account, region = function_locators_from_arn(function_arn)
    if credentials or not (name and account and region):
        return original(function_arn, event, source_arn, credentials)
    try:
        result = _lambda().lambda_service.invoke(
            function_name=name,
            qualifier=qualifier,
            region=region,
            account_id=account,
            invocation_type=InvocationType.RequestResponse,
            client_context=None,
            request_id=str(uuid4()),
            payload=event,
        )
    except ServiceException as error:
        raise ClientError({"Error": {"Code": error.code, "Message": error.message}}, "Invoke") from error
    payload: bytes = result.payload
    return payload


@cache
def install() -> None:
    """Further calls do nothing."""
    patched = partial(call_lambda, RestApiAwsProxyIntegration.call_lambda)
    RestApiAwsProxyIntegration.call_lambda = staticmethod(patched)


@cache
def _lambda() -> Any:
    """The provider, which this starts if nothing has used it yet. Its `lambda_service` changes with a restoration."""
    return SERVICE_PLUGINS.require("lambda")._provider
