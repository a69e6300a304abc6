"""Loads API Gateway for the first request to an API by its path.

LocalStack loads a service when it is first used, and recognises requests to an API by their host name only. In a new
LocalStack, `POST /_aws/execute-api/…` therefore belonged to no service, and was answered with status 200 and no body.
"""

from collections.abc import Callable
from functools import cache

from localstack.aws.api import RequestContext
from localstack.aws.chain import HandlerChain
from localstack.aws.handlers.service_plugin import ServiceLoaderForDataPlane
from localstack.aws.spec import get_service_catalog
from localstack.http import Response
from localstack.utils.patch import patch

_PATHS = ("/_aws/execute-api/", "/restapis/")


def load(
    original: Callable[..., None],
    self: ServiceLoaderForDataPlane,
    chain: HandlerChain,
    context: RequestContext,
    response: Response,
) -> None:
    if context.service or not context.request.path.startswith(_PATHS):
        original(self, chain, context, response)
        return
    context.service = get_service_catalog().get("apigateway")
    try:
        self.service_loader.require_service(chain, context, response)
    finally:
        context.service = None  # the request itself is the API's, not API Gateway's


@cache
def install() -> None:
    """Further calls do nothing."""
    patch(ServiceLoaderForDataPlane.__call__)(load)
