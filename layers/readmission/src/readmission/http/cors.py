"""CORS headers for answers that are made without Starlette: the same as those of its `CORSMiddleware`."""

from collections.abc import Mapping, Sequence

from readmission.http import request_id


def headers(origin: str | None, allowed: Sequence[str]) -> Mapping[str, str]:
    """The headers of an answer to a request with that `Origin`, for pages of the `allowed` web origins (`*`: any).

    There are none if no origin is allowed. Preflights, for any path, are answered by the function *predict*.
    """
    if not allowed:
        return {}
    found = {"Vary": "Origin"}
    if origin is None:
        return found
    found["Access-Control-Expose-Headers"] = request_id.HEADER
    if "*" in allowed:
        found["Access-Control-Allow-Origin"] = "*"
    elif origin in allowed:
        found["Access-Control-Allow-Origin"] = origin
    return found
