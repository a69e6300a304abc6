"""What API Gateway publishes, by API and by stage."""

import time
from collections.abc import Callable
from functools import cache
from typing import Any

from localstack.services.apigateway.next_gen.execute_api.context import RestApiInvocationContext
from localstack.services.apigateway.next_gen.execute_api.gateway import RestApiGateway
from localstack.services.apigateway.next_gen.execute_api.handlers.integration import IntegrationHandler
from localstack.utils.patch import patch
from rolo import Response

from process_executor.aws_metrics.figures import put


def answer_request(
    original: Callable[..., None], self: RestApiGateway, context: RestApiInvocationContext, response: Response
) -> None:
    """As the original, whatever answers: an integration, a missing API key, an exception."""
    began = time.monotonic()
    try:
        original(self, context, response)
    finally:
        if context.deployment:
            _count_request(context, response.status_code, time.monotonic() - began)


def integrate(original: Callable[..., None], self: IntegrationHandler, *arguments: Any) -> None:
    """As the original, and notes in the request's context how long it took, in seconds."""
    _, context, _ = arguments
    began = time.monotonic()
    try:
        original(self, *arguments)
    finally:
        context.integration_seconds = time.monotonic() - began


@cache
def publish() -> None:
    """Puts it in place, once."""
    patch(RestApiGateway.process_with_context)(answer_request)
    patch(IntegrationHandler.__call__)(integrate)


def _count_request(context: RestApiInvocationContext, status: int, seconds: float) -> None:
    figures = {
        "Count": (1, "Count"),
        "4XXError": (int(400 <= status < 500), "Count"),
        "5XXError": (int(status >= 500), "Count"),
        "Latency": (round(seconds * 1000), "Milliseconds"),
    }
    integration_seconds = context.get("integration_seconds")
    if integration_seconds is not None:
        figures["IntegrationLatency"] = (round(integration_seconds * 1000), "Milliseconds")
    deployment = context.deployment
    api = {"ApiName": deployment.rest_api.rest_api["name"]}
    for dimensions in (api, api | {"Stage": context.stage}):
        put(deployment.account_id, deployment.region, "AWS/ApiGateway", figures, dimensions)
