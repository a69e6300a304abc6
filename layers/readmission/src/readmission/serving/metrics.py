"""`GET /metrics`: CloudWatch metrics in Prometheus' text format, for clients with the bearer token."""

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from readmission.errors import TokenUnavailable
from readmission.http import proxy
from readmission.http.problems import Refused
from readmission.telemetry.logs import Logger

type Accepts = Callable[[str | None], bool]


def respond(
    event: Mapping[str, Any],
    accepts: Accepts,
    registry: Collector,
    logger: Logger,
    correlate: Callable[[str], None] = lambda request_id: None,
) -> dict[str, Any]:
    """Answer a proxy event with the metrics, in the format that the Accept header asks for.

    `accepts` checks the Authorization header. Never raises; see `proxy.respond`.
    """
    return proxy.respond(event, lambda request: _metrics(request, accepts, registry), logger, correlate)


def _metrics(request: proxy.Request, accepts: Accepts, registry: Collector) -> proxy.Response:
    try:
        accepted = accepts(request.headers.get("authorization"))
    except TokenUnavailable as error:
        detail = "The bearer token cannot be checked now; try again later"
        raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, detail) from error
    if not accepted:
        detail = "The bearer token in the Authorization header is missing or wrong"
        raise Refused(HTTPStatus.UNAUTHORIZED, detail, headers={"WWW-Authenticate": "Bearer"})
    encode, content_type = choose_encoder(request.headers.get("accept", ""))
    return proxy.Response(content_type, encode(registry).decode())
