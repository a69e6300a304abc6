"""`GET /monitor`: the newest document of the monitor, as it is in S3.

The function *history* answers it: it needs neither numpy nor the model.
"""

from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from readmission.errors import StorageUnavailable
from readmission.http import proxy
from readmission.http.problems import Refused
from readmission.telemetry.logs import Logger

type Newest = Callable[[], bytes | None]


def respond(
    event: Mapping[str, Any],
    newest: Newest,
    logger: Logger,
    correlate: Callable[[str], None] = lambda request_id: None,
    cors_origins: Sequence[str] = (),
    *,
    identified: bool = False,
) -> dict[str, Any]:
    """Answer a proxy event with the document that `newest` reads; it returns None if there is none.

    Never raises; see `proxy.respond`, also for the other arguments.
    """
    return proxy.respond(event, lambda _: _monitor(newest), logger, correlate, cors_origins, identified=identified)


def _monitor(newest: Newest) -> proxy.Response:
    try:
        content = newest()
    except StorageUnavailable as error:
        raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "The storage is unavailable; try again later") from error
    if content is None:
        detail = "The monitor has not run yet; an execution of the pipeline ends with it, and `make monitor` runs it"
        raise Refused(HTTPStatus.NOT_FOUND, detail)
    return proxy.Response("application/json", content.decode())
