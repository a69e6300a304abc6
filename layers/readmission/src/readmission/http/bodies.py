"""Request bodies: the media type, and the text or the JSON document. Needs no web framework."""

import json
import re
from collections import Counter
from collections.abc import Mapping
from math import inf
from typing import TYPE_CHECKING, Any, Final, Protocol

from readmission.domain.file_formats import NOT_UTF8, format_of, not_csv
from readmission.http.problems import Code, FieldError, Params, Refused, printable_name

JSON: Final = "application/json"
CSV: Final = "text/csv"

MAX_ROWS: Final = 1000
"""Of one request."""
# 3 KiB per encounter: enough for all fields with wide indentation. A Lambda event may have 6 MB, and the body is a JSON
# string in it, in which every quotation mark takes two bytes.
MAX_BATCH_BYTES: Final = 3 * 1024 * 1024

_WEIGHT: Final = re.compile(r"[01](\.[0-9]{0,3})?")

if TYPE_CHECKING:
    from starlette.requests import Request


class WithHeaders(Protocol):
    """A request, as far as its media type is concerned. Header names are lower case."""

    @property
    def headers(self) -> Mapping[str, str]: ...


def media_type(request: WithHeaders, *allowed: str) -> str:
    """The body's media type. Raises `Refused` (415) if it is not allowed, not in UTF-8, or compressed."""
    kind, _, parameters = request.headers.get("content-type", "").partition(";")
    kind = kind.strip().lower()
    if kind not in allowed:
        raise Refused(415, f"The Content-Type must be {' or '.join(allowed)}")
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset" and value.strip(' "').lower() not in ("utf-8", "utf8", "us-ascii"):
            raise Refused(415, "The charset must be utf-8")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise Refused(415, "The body must not be compressed")
    return kind


def answer_type(accept: str, body_type: str) -> str:
    """JSON or CSV, whichever the Accept header prefers; without a preference, the type of the body."""
    qualities = {JSON: _quality(accept, JSON), CSV: _quality(accept, CSV)}
    if qualities[JSON] == qualities[CSV]:
        return body_type
    return max(qualities, key=qualities.__getitem__)


async def text_of(request: "Request") -> str:
    """The body as text, without a byte order mark. Raises `Refused` (422) if it is not UTF-8."""
    return decoded(await request.body())


async def csv_of(request: "Request") -> str:
    """The body as the text of a CSV. Raises `Refused` (422) if it is another file, or in another encoding."""
    return decoded_csv(await request.body())


def decoded(body: bytes) -> str:
    """The same as `text_of` for a body that has been read."""
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise _unreadable("is not valid UTF-8", "not_utf8") from None


def decoded_csv(body: bytes) -> str:
    """The same as `csv_of` for a body that has been read."""
    if name := format_of(body):
        raise _unreadable(not_csv(name), "not_csv", {"format": [name]})
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise _unreadable(NOT_UTF8, "not_utf8") from None


def json_of(text: str) -> Any:
    """The JSON document. Raises `Refused` (422) if it is invalid, nested too deeply, or repeats a name in an object.

    NaN, infinite and very long numbers are accepted here: validation rejects them with the name of their field.
    """
    try:
        return json.loads(text, object_pairs_hook=_object, parse_int=_integer)
    except RecursionError:
        raise _unreadable("is nested too deeply", "nested_too_deeply") from None
    except json.JSONDecodeError as error:
        what = f"is not valid JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        raise _unreadable(what, "invalid_json", {"line": error.lineno, "column": error.colno}) from None


def _integer(digits: str) -> int | float:
    # Python refuses integers of more than 4300 digits, and is slow for almost as many.
    return int(digits) if len(digits) < 20 else inf


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        counts = Counter(name for name, _ in pairs)
        repeated = sorted({printable_name(name) for name, count in counts.items() if count > 1})
        errors = [FieldError(name, "appears more than once", "repeated_field") for name in repeated]
        raise Refused(422, "The body has a field more than once", errors)
    return made


def _unreadable(what: str, code: Code, params: Params | None = None) -> Refused:
    return Refused(422, f"The body {what}", [FieldError("body", what, code, params or {})])


def _quality(accept: str, media_type: str) -> float:
    """The quality, 0 to 1, that an Accept header gives to this type, by the most specific range that matches."""
    qualities = {}
    for part in accept.split(","):
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        weight = next((one[2:] for one in parameters if one.startswith("q=")), "1")
        qualities[name] = float(weight) if _WEIGHT.fullmatch(weight) else 0.0
    ranges = (media_type, f"{media_type.partition('/')[0]}/*", "*/*")
    return next((qualities[name] for name in ranges if name in qualities), 0.0)
