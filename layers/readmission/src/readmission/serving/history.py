"""`GET /model/history`: the newest decisions of the promotion ledger.

It runs in a function of its own because it reads Postgres; the function that forecasts needs no database.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from readmission.errors import DatabaseUnavailable
from readmission.http import proxy
from readmission.http.problems import Refused
from readmission.promotion.limit import DEFAULT, LARGEST
from readmission.telemetry.logs import Logger

type Decisions = Callable[[int], list[dict[str, Any]]]


def respond(
    event: Mapping[str, Any],
    decisions: Decisions,
    logger: Logger,
    correlate: Callable[[str], None] = lambda request_id: None,
    cors_origins: Sequence[str] = (),
    *,
    identified: bool = False,
) -> dict[str, Any]:
    """Answer a proxy event with the newest decisions, newest first: as many as the query parameter `limit` says.

    `decisions` reads that many. Web pages of `cors_origins` may read the answer. Never raises; see `proxy.respond`,
    also for `identified`.
    """
    return proxy.respond(
        event,
        lambda request: _history(request, decisions),
        logger,
        correlate,
        cors_origins,
        identified=identified,
    )


def _history(request: proxy.Request, decisions: Decisions) -> proxy.Response:
    limit = _limit(request.query)
    try:
        found = decisions(limit)
    except DatabaseUnavailable as error:
        raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "The database is unavailable; try again later") from error
    return proxy.Response("application/json", json.dumps({"decisions": found}, ensure_ascii=False))


def _limit(query: Mapping[str, str]) -> int:
    text = query.get("limit", str(DEFAULT))
    # The length is checked first: Python refuses to parse thousands of digits.
    if not (text.isascii() and text.isdecimal() and len(text) <= 9 and 1 <= int(text) <= LARGEST):
        raise Refused(HTTPStatus.UNPROCESSABLE_ENTITY, f"'limit' must be a whole number from 1 to {LARGEST}")
    return int(text)
