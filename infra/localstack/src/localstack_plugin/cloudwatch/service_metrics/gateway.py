"""API Gateway's metrics, by API and by stage."""

import time
from collections.abc import Callable
from functools import cache
from typing import Any

from localstack.services.apigateway.next_gen.execute_api.context import RestApiInvocationContext
from localstack.services.apigateway.next_gen.execute_api.gateway import RestApiGateway
from localstack.services.apigateway.next_gen.execute_api.handlers.integration import IntegrationHandler
from localstack.utils.patch import patch
from rolo import Response

from localstack_plugin.cloudwatch.service_metrics.put import put


def answer_request(
    original: Callable[..., None], self: RestApiGateway, context: RestApiInvocationContext, response: Response
) -> None:
    """Calls the original and counts the request, whether an integration answers, a key is missing or it raises."""
    began = time.monotonic()
    try:
        original(self, context, response)
    finally:
        if context.deployment:
            _count_request(context, response.status_code, time.monotonic() - began)


def integrate(original: Callable[..., None], self: IntegrationHandler, *arguments: Any) -> None:
    """Calls the original and records its duration (s) in the request's context."""
    _, context, _ = arguments
    began = time.monotonic()
    try:
        original(self, *arguments)
    finally:
        context.integration_seconds = time.monotonic() - began


@cache
def install() -> None:
    """Further calls do nothing."""
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
