"""Problem documents (RFC 9457): the shape of every error that the endpoints answer.

The type is always `about:blank`: the status alone says what kind of problem it is, and the title is the status's name.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from http import HTTPStatus
from typing import Any, Final, Literal

MEDIA_TYPE: Final = "application/problem+json"
MAX_ERRORS: Final = 50
UNEXPECTED: Final = "Unexpected error; look up the request_id in the log to find the cause"

# Clients translate messages by code, so a code keeps its meaning and its `params`.
type Code = Literal[
    "required",
    "unknown_field",
    "integer_range",
    "one_of",
    "text_length",
    "diagnosis_code",
    "site_name",
    "diagnosis_of_other_version",
    "diagnosis_versions_mixed",
    "diagnosis_version_missing",
    "icd10_ambiguous",
    "icd10_unmapped",
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
    "not_csv",
    "wrong_separator",
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
    "date",
    "date_in_future",
    "request_id_used",
    "job_id",
    "job_id_used",
    "fhir_missing",
    "fhir_conflict",
    "fhir_request",
    "feedback",
]
type Params = Mapping[str, int | list[str]]

_MAX_NAME_LENGTH: Final = 64
_UNPRINTABLE: Final = re.compile(r"[^\w .=()-]", re.ASCII)


@dataclass(frozen=True, slots=True)
class FieldError:
    """Why a field is invalid. It never contains the field's value, which is patient data."""

    field: str
    message: str
    code: Code
    params: Params = dataclass_field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        found = {"field": self.field, "message": self.message, "code": self.code}
        return found | {"params": self.params} if self.params else found


class Refused(Exception):
    """A request that is answered with a problem document, and with these headers."""

    def __init__(
        self, status: int, detail: str, errors: Iterable[FieldError] = (), headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = list(errors)
        self.headers = headers or {}


def problem_document(
    status: int, detail: str, instance: str, request_id: str | None, errors: Sequence[FieldError] = ()
) -> dict[str, Any]:
    """The problem document for a request to the path `instance`; it lists at most `MAX_ERRORS` errors."""
    document = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": int(status),
        "detail": detail,
        "instance": instance,
        "request_id": request_id,
    }
    return document | {"errors": first_errors(errors)} if errors else document


def first_errors(errors: Sequence[FieldError], limit: int = MAX_ERRORS) -> list[dict[str, Any]]:
    """The first errors as JSON objects."""
    return [error.as_json() for error in errors[:limit]]


def printable_name(text: str) -> str:
    """A client's field name made safe to repeat: shortened, and limited to characters that take one byte in JSON."""
    return _UNPRINTABLE.sub("?", text[:_MAX_NAME_LENGTH])


def sentence(text: str) -> str:
    """The message of an exception as a `detail`, with a capital first letter."""
    return text[:1].upper() + text[1:]
