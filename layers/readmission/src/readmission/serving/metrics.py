"""`GET /metrics`: CloudWatch metrics in Prometheus' text format, for clients with the bearer token."""

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from readmission.errors import IdentityUnavailable, ScopeMissing, TokenInvalid, TokenUnavailable
from readmission.http import proxy
from readmission.http.identity import refusal
from readmission.http.problems import Refused
from readmission.identity.actor import Actor
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

    `accepts` checks the Authorization header; it may raise `TokenUnavailable`, `IdentityUnavailable` or `ScopeMissing`.
    Never raises; see `proxy.respond`.
    """
    return proxy.respond(event, lambda request: _metrics(request, accepts, registry), logger, correlate)


def either(token: Accepts, actor_of: Callable[[str | None], Actor]) -> Accepts:
    """Accepts the token of the stack, or a token of the issuer with the scope for the metrics.

    Raises `ScopeMissing` for a valid token without it, and `IdentityUnavailable`.
    """

    def accepts(header: str | None) -> bool:
        if token(header):
            return True
        try:
            actor_of(header).require("/metrics")
        except TokenInvalid:
            return False
        return True

    return accepts


def _metrics(request: proxy.Request, accepts: Accepts, registry: Collector) -> proxy.Response:
    try:
        accepted = accepts(request.headers.get("authorization"))
    except TokenUnavailable as error:
        detail = "The bearer token cannot be checked now; try again later"
        raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, detail) from error
    except (IdentityUnavailable, ScopeMissing) as error:
        raise refusal(error) from error
    if not accepted:
        detail = "The bearer token in the Authorization header is missing or wrong"
        raise Refused(HTTPStatus.UNAUTHORIZED, detail, headers={"WWW-Authenticate": "Bearer"})
    encode, content_type = choose_encoder(request.headers.get("accept", ""))
    return proxy.Response(content_type, encode(registry).decode())
