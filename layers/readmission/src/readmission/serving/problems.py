"""The application's errors as problem documents (RFC 9457), in one shape whatever went wrong."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from typing import Any, Final, Literal
from urllib.parse import quote

from pydantic_core import to_json
from starlette.responses import Response
from starlette.types import Scope

from readmission.http.problem_document import MEDIA_TYPE, problem_document

REQUEST_ID: Final = "readmission.http.request_id"  # where an ASGI scope holds the request's id
MAX_ERRORS: Final = 50

# Clients translate messages by their code: a code keeps its meaning and its `params`.
type Code = Literal[
    "required",
    "unknown_field",
    "integer_range",
    "one_of",
    "text_length",
    "diagnosis_code",
    "not_an_object",
    "not_a_list",
    "too_many_fields",
    "invalid_name",
    "repeated_field",
    "raw_field_among_prepared",
    "prepared_field_among_raw",
    "patient_died",
    "patient_in_hospice",
    "more_early_readmissions_than_stays",
    "details_of_no_stay",
    "more_changed_doses_than_drugs",
    "not_utf8",
    "invalid_json",
    "nested_too_deeply",
    "invalid_csv",
    "no_header",
    "too_many_columns",
    "unknown_column",
    "repeated_column",
    "missing_column",
    "too_many_rows",
    "cell_count",
    "invalid_parameter",
]
type Params = Mapping[str, int | list[str]]

_LONGEST_NAME: Final = 64
_STRANGE: Final = re.compile(r"[^\w .=()-]", re.ASCII)


@dataclass(frozen=True, slots=True)
class FieldError:
    """What is wrong with a field. No part ever holds its value, which is a patient's."""

    field: str
    message: str
    code: Code
    params: Params = dataclass_field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        found = {"field": self.field, "message": self.message, "code": self.code}
        return found | {"params": self.params} if self.params else found


class Refused(Exception):
    """A request that is answered with a problem document."""

    def __init__(self, status: int, detail: str, errors: Iterable[FieldError] = ()) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = list(errors)


def name_of(text: str) -> str:
    """A name that a client gave, fit for an answer: not too long, and of characters that stay one byte in JSON."""
    return _STRANGE.sub("?", text[:_LONGEST_NAME])


def listed(errors: list[FieldError], most: int = MAX_ERRORS) -> list[dict[str, Any]]:
    """The first errors as an answer tells them."""
    return [error.as_json() for error in errors[:most]]


def response(
    scope: Scope,
    status: int,
    detail: str,
    errors: list[FieldError] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The problem document of the request that `scope` belongs to."""
    document = problem_document(status, detail, quote(scope["path"], errors="replace"), scope.get(REQUEST_ID))
    if errors:
        document["errors"] = listed(errors)
    return Response(to_json(document), status, headers, MEDIA_TYPE)
