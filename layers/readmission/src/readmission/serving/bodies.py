"""The body of a request: its media type, and the JSON or the text in it."""

import json
from collections import Counter
from math import inf
from typing import Any, Final

from starlette.requests import Request

from readmission.serving.problems import Code, FieldError, Params, Refused, name_of

JSON: Final = "application/json"
CSV: Final = "text/csv"


def media_type(request: Request, *allowed: str) -> str:
    """The body's media type. Raises `Refused` (415) when it is not one of these, not in UTF-8, or compressed."""
    kind, _, parameters = request.headers.get("content-type", "").partition(";")
    kind = kind.strip().lower()
    if kind not in allowed:
        raise Refused(415, f"the Content-Type must be {' or '.join(allowed)}")
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset" and value.strip(' "').lower() not in ("utf-8", "utf8", "us-ascii"):
            raise Refused(415, "the charset must be utf-8")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise Refused(415, "the body must not be compressed")
    return kind


async def text_of(request: Request) -> str:
    """The body as text, without a byte order mark. Raises `Refused` (422) when it is not UTF-8."""
    try:
        return (await request.body()).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise _unreadable("is not UTF-8", "not_utf8") from None


def json_of(text: str) -> Any:
    """The JSON document. Raises `Refused` (422) when it is none, too deep, or has a name twice in an object.

    NaN, infinite numbers and endless ones pass: the field that has one refuses it, and names itself.
    """
    try:
        return json.loads(text, object_pairs_hook=_object, parse_int=_whole)
    except RecursionError:
        raise _unreadable("is nested too deeply", "nested_too_deeply") from None
    except json.JSONDecodeError as error:
        what = f"is no JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        raise _unreadable(what, "invalid_json", {"line": error.lineno, "column": error.colno}) from None


def _whole(digits: str) -> int | float:
    # Python refuses to read whole numbers of more than 4300 digits, and takes long for almost as many.
    return int(digits) if len(digits) < 20 else inf


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        twice = sorted({name_of(name) for name, times in Counter(name for name, _ in pairs).items() if times > 1})
        errors = [FieldError(name, "is given twice", "repeated_field") for name in twice]
        raise Refused(422, "a field is given twice", errors)
    return made


def _unreadable(what: str, code: Code, params: Params | None = None) -> Refused:
    return Refused(422, f"the body {what}", [FieldError("body", what, code, params or {})])
