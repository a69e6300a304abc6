"""`GET /model/history`: an event of API Gateway's proxy integration in, its answer out.

A function of its own, for it reads Postgres: the one that forecasts has no access to the database. Errors are problem
documents (RFC 9457).
"""

import json
from collections.abc import Callable, Mapping
from http import HTTPStatus
from logging import Logger
from typing import Any, Final

from readmission.errors import DatabaseUnavailable, InvalidRequest
from readmission.problem_document import MEDIA_TYPE, problem_document

_LIMIT: Final = 20
_LARGEST_LIMIT: Final = 100

type Decisions = Callable[[int], list[dict[str, Any]]]


def respond(event: Mapping[str, Any], decisions: Decisions, logger: Logger) -> dict[str, Any]:
    """The newest decisions, as many as the query's `limit` says (1 to 100; 20 without one), newest first.

    Raises nothing: what `decisions` raises is logged and answered as 503 or 500, without telling of the database.
    """
    try:
        found = decisions(_limit(event))
    except InvalidRequest as error:
        return _problem(event, HTTPStatus.UNPROCESSABLE_ENTITY, str(error))
    except DatabaseUnavailable:
        logger.exception("the promotion ledger cannot be read")
        return _problem(event, HTTPStatus.SERVICE_UNAVAILABLE, "the database does not answer; ask again later")
    except Exception:
        logger.exception("the promotion ledger cannot be read")
        return _problem(
            event, HTTPStatus.INTERNAL_SERVER_ERROR, "the history cannot be read; the log of this request says why"
        )
    return _answer(HTTPStatus.OK, "application/json", {"decisions": found})


def _limit(event: Mapping[str, Any]) -> int:
    """Raises `InvalidRequest`."""
    text = (event.get("queryStringParameters") or {}).get("limit", str(_LIMIT))
    # Digits are counted before they are read: Python refuses a number of thousands.
    if not (text.isascii() and text.isdecimal() and len(text) <= 9 and 1 <= int(text) <= _LARGEST_LIMIT):
        raise InvalidRequest(f"'limit' must be a whole number from 1 to {_LARGEST_LIMIT}")
    return int(text)


def _problem(event: Mapping[str, Any], status: HTTPStatus, detail: str) -> dict[str, Any]:
    request_id = event.get("requestContext", {}).get("requestId", "")
    return _answer(status, MEDIA_TYPE, problem_document(status, detail, event.get("path", ""), request_id))


def _answer(status: HTTPStatus, content_type: str, document: dict[str, Any]) -> dict[str, Any]:
    return {
        "statusCode": status.value,
        "headers": {"Content-Type": content_type, "Cache-Control": "no-store"},
        "body": json.dumps(document, ensure_ascii=False),
    }
