"""`GET /metrics`: an event of API Gateway's proxy integration in, its answer out. Errors are problem documents."""

import json
from collections.abc import Callable, Mapping
from http import HTTPStatus
from logging import Logger
from typing import Any, Final

from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from readmission.errors import TokenUnavailable
from readmission.http.problem_document import MEDIA_TYPE, problem_document

_CHALLENGE: Final = {"WWW-Authenticate": "Bearer"}


def respond(
    event: Mapping[str, Any], accepts: Callable[[str | None], bool], registry: Collector, logger: Logger
) -> dict[str, Any]:
    """The metrics, in the format that the request's `Accept` names, if its `Authorization` is accepted.

    Raises nothing: a token that cannot be compared is logged and answered as 503, any other error as 500.
    """
    headers = {name.lower(): value for name, value in (event.get("headers") or {}).items()}
    try:
        if not accepts(headers.get("authorization")):
            detail = "the bearer token in the header Authorization is missing or wrong"
            return _problem(event, HTTPStatus.UNAUTHORIZED, detail, _CHALLENGE)
        encode, content_type = choose_encoder(headers.get("accept", ""))
        return _answer(HTTPStatus.OK, content_type, encode(registry).decode())
    except TokenUnavailable:
        logger.exception("no token can be checked")
        detail = "the token cannot be checked now; ask again later"
        return _problem(event, HTTPStatus.SERVICE_UNAVAILABLE, detail)
    except Exception:
        logger.exception("the metrics cannot be told")
        detail = "the metrics cannot be told; the log of this request says why"
        return _problem(event, HTTPStatus.INTERNAL_SERVER_ERROR, detail)


def _problem(
    event: Mapping[str, Any], status: HTTPStatus, detail: str, headers: Mapping[str, str] | None = None
) -> dict[str, Any]:
    request_id = event.get("requestContext", {}).get("requestId", "")
    document = problem_document(status, detail, event.get("path", ""), request_id)
    return _answer(status, MEDIA_TYPE, json.dumps(document, ensure_ascii=False), headers)


def _answer(
    status: HTTPStatus, content_type: str, body: str, headers: Mapping[str, str] | None = None
) -> dict[str, Any]:
    return {
        "statusCode": status.value,
        "headers": {"Content-Type": content_type, "Cache-Control": "no-store", **(headers or {})},
        "body": body,
    }
