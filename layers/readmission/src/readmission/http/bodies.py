"""Request bodies: the media type, and the text or the JSON document."""

import json
from collections import Counter
from math import inf
from typing import Any, Final

from starlette.requests import Request

from readmission.domain.file_formats import NOT_UTF8, format_of, not_csv
from readmission.http.problems import Code, FieldError, Params, Refused, printable_name

JSON: Final = "application/json"
CSV: Final = "text/csv"


def media_type(request: Request, *allowed: str) -> str:
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


async def text_of(request: Request) -> str:
    """The body as text, without a byte order mark. Raises `Refused` (422) if it is not UTF-8."""
    try:
        return (await request.body()).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise _unreadable("is not valid UTF-8", "not_utf8") from None


async def csv_of(request: Request) -> str:
    """The body as the text of a CSV. Raises `Refused` (422) if it is another file, or in another encoding."""
    body = await request.body()
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
