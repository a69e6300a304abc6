"""`GET /model/history`: an event of API Gateway's proxy integration in, its answer out.

A function of its own, for it reads Postgres: the one that forecasts has no access to the database. Errors are problem
documents (RFC 9457).
"""

import json
from collections.abc import Callable, Mapping
from http import HTTPStatus
from logging import Logger
from time import perf_counter
from typing import Any, Final

from readmission.errors import DatabaseUnavailable, InvalidRequest
from readmission.http import request_id
from readmission.http.problem_document import MEDIA_TYPE, problem_document

_LIMIT: Final = 20
_LARGEST_LIMIT: Final = 100

type Decisions = Callable[[int], list[dict[str, Any]]]


def respond(
    event: Mapping[str, Any],
    decisions: Decisions,
    logger: Logger,
    correlate: Callable[[str], None] = lambda request_id: None,
) -> dict[str, Any]:
    """The newest decisions, as many as the query's `limit` says (1 to 100; 20 without one), newest first.

    `correlate` is told the request's id before anything is logged of it. Raises nothing: what `decisions` raises is
    logged and answered as 503 or 500, without telling of the database.
    """
    begun = perf_counter()
    name = _id_of(event)
    correlate(name)
    status, detail, found = _found(event, decisions, logger)
    if detail:
        answer = _answer(status, MEDIA_TYPE, problem_document(status, detail, event.get("path", ""), name))
    else:
        answer = _answer(status, "application/json", {"decisions": found})
    answer["headers"][request_id.HEADER] = name
    milliseconds = round((perf_counter() - begun) * 1000, 3)
    logger.info("answered", extra={"route": "/model/history", "status": status.value, "duration_ms": milliseconds})
    return answer


def _found(
    event: Mapping[str, Any], decisions: Decisions, logger: Logger
) -> tuple[HTTPStatus, str, list[dict[str, Any]]]:
    """The answer's status with what is wrong, or with the decisions."""
    try:
        return HTTPStatus.OK, "", decisions(_limit(event))
    except InvalidRequest as error:
        return HTTPStatus.UNPROCESSABLE_ENTITY, str(error), []
    except DatabaseUnavailable:
        logger.exception("the promotion ledger cannot be read")
        return HTTPStatus.SERVICE_UNAVAILABLE, "the database does not answer; ask again later", []
    except Exception:
        logger.exception("the promotion ledger cannot be read")
        detail = "the history cannot be read; the log of this request says why"
        return HTTPStatus.INTERNAL_SERVER_ERROR, detail, []


def _id_of(event: Mapping[str, Any]) -> str:
    headers = {name.lower(): value for name, value in (event.get("headers") or {}).items()}
    gateway = event.get("requestContext") or {}
    return request_id.choose(str(headers.get(request_id.HEADER, "")), str(gateway.get("requestId", "")))


def _limit(event: Mapping[str, Any]) -> int:
    """Raises `InvalidRequest`."""
    text = (event.get("queryStringParameters") or {}).get("limit", str(_LIMIT))
    # Digits are counted before they are read: Python refuses a number of thousands.
    if not (text.isascii() and text.isdecimal() and len(text) <= 9 and 1 <= int(text) <= _LARGEST_LIMIT):
        raise InvalidRequest(f"'limit' must be a whole number from 1 to {_LARGEST_LIMIT}")
    return int(text)


def _answer(status: HTTPStatus, content_type: str, document: dict[str, Any]) -> dict[str, Any]:
    return {
        "statusCode": status.value,
        "headers": {"Content-Type": content_type, "Cache-Control": "no-store"},
        "body": json.dumps(document, ensure_ascii=False),
    }
