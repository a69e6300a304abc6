"""`POST /outcomes`: what became of patients after their encounters, one or many, as JSON or CSV.

It runs in a function of its own because it writes to Postgres; the function that forecasts needs no database. Each
outcome has its own answer: an invalid one does not affect the others.
"""

import csv
import io
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from http import HTTPStatus
from typing import Any, Final

from readmission.domain import spreadsheet
from readmission.domain.contract import COLUMNS, DISCHARGE_DATE, Date, IntegerRange, OneOf, Rule, SiteName, parse_date
from readmission.domain.payloads import DEFAULT_SITE
from readmission.errors import DatabaseUnavailable
from readmission.http import bodies, csv_rows, proxy, request_id
from readmission.http.problems import FieldError, Refused, first_errors, printable_name
from readmission.identity.actor import Actor
from readmission.pipeline.outcomes import Outcome, Result
from readmission.telemetry.logs import Logger
from readmission.telemetry.metrics import OUTCOMES_REPORTED, Meter, NullMeter

type Store = Callable[[Sequence[Outcome], str, str | None], Mapping[int, Result]]
"""Stores the outcomes of a request, given its id and who sends it; `readmission.pipeline.outcomes.store`."""

RULES: Final[Mapping[str, Rule | Date]] = {
    "encounter_id": COLUMNS["encounter_id"],
    "readmitted": COLUMNS["readmitted"],
    "site": SiteName(),
    DISCHARGE_DATE: Date(),
}
REQUIRED: Final = ("encounter_id", "readmitted")
CSV_COLUMNS: Final = ("row", "result", "error")
_MAX_FIELDS: Final = 50
_CONFLICT: Final = FieldError(
    request_id.HEADER,
    "was used before with another outcome in this place; send the outcome again with another id",
    "request_id_used",
)


class NoTable(Exception):
    """The table of outcomes does not exist: no run has migrated the databases since this release was deployed."""


def respond(
    event: Mapping[str, Any],
    store: Store,
    logger: Logger,
    correlate: Callable[[str], None] = lambda request_id: None,
    cors_origins: Sequence[str] = (),
    *,
    meter: Meter | None = None,
    identified: bool = False,
) -> dict[str, Any]:
    """Answer a proxy event: `store` the outcomes in its body, and say what became of each.

    `store` may raise `DatabaseUnavailable` and `NoTable`. Web pages of `cors_origins` may read the answer. Never
    raises; see `proxy.respond`, also for `identified`.
    """
    return proxy.respond(
        event,
        lambda request: _report(request, store, meter or NullMeter(), identified=identified),
        logger,
        correlate,
        cors_origins,
        identified=identified,
    )


def _report(request: proxy.Request, store: Store, meter: Meter, *, identified: bool) -> proxy.Response:
    if request.method != "POST":
        raise Refused(
            HTTPStatus.METHOD_NOT_ALLOWED, "This path does not support this method", headers={"Allow": "POST"}
        )
    if len(request.content) > bodies.MAX_BATCH_BYTES:
        raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"The body is larger than {bodies.MAX_BATCH_BYTES} bytes")
    kind = bodies.media_type(request, bodies.JSON, bodies.CSV)
    latest = datetime.now(UTC).date() + timedelta(days=1)  # where it is tomorrow already
    read = [_read(index, row, latest) for index, row in enumerate(_rows(request, kind, latest))]
    results = _store(request, [one for one in read if isinstance(one, Outcome)], store, identified=identified)
    answers = [_answer(index, one, results) for index, one in enumerate(read)]
    counts = Counter(answer.get("result", "refused") for answer in answers)
    for result, number in counts.items():
        meter.count(OUTCOMES_REPORTED, number, result=result)
    if bodies.answer_type(request.headers.get("accept", ""), kind) == bodies.CSV:
        return proxy.Response(bodies.CSV, _as_csv(answers))
    totals = {name: counts[name] for name in ("stored", "repeated", "refused")}
    document = {"request_id": request.request_id, **totals, "outcomes": answers}
    return proxy.Response(bodies.JSON, json.dumps(document, ensure_ascii=False))


def _rows(request: proxy.Request, kind: str, latest: date) -> Sequence[Any]:
    """The documents of the outcomes. Raises `Refused` (422), also for a single one that is invalid."""
    if kind == bodies.CSV:
        return csv_rows.read(bodies.decoded_csv(request.content), _begin, _too_many)
    document = bodies.json_of(bodies.decoded(request.content))
    if not isinstance(document, list):
        found = outcome_of(0, document, latest)
        if isinstance(found, Refused):
            raise found
        return [document]
    if len(document) > bodies.MAX_ROWS:
        raise _too_many()
    return document


def _begin(header: list[str]) -> Callable[[list[str]], dict[str, str] | Refused]:
    csv_rows.check_names(header, RULES.keys(), least=len(REQUIRED), most=_MAX_FIELDS)
    if errors := csv_rows.wrong_columns(header, RULES.keys(), REQUIRED):
        raise csv_rows.invalid_header(errors)

    def row_of(cells: list[str]) -> dict[str, str] | Refused:
        if len(cells) != len(header):
            return csv_rows.wrong_length(cells, header, "outcome")
        return {name: cell for name, cell in zip(header, cells, strict=True) if cell != ""}

    return row_of


def _too_many() -> Refused:
    error = FieldError("body", f"must be at most {bodies.MAX_ROWS}", "too_many_rows", {"most": bodies.MAX_ROWS})
    return Refused(HTTPStatus.UNPROCESSABLE_ENTITY, f"The request has more than {bodies.MAX_ROWS} outcomes", [error])


def _read(index: int, row: Any, latest: date) -> Outcome | Refused:
    return row if isinstance(row, Refused) else outcome_of(index, row, latest)


def outcome_of(position: int, document: Any, latest: date) -> Outcome | Refused:
    """The outcome of a JSON document, or why it is invalid: an error for each field, without its value.

    `latest` is the last day that a discharge can have been on.
    """
    if not isinstance(document, dict):
        error = FieldError("outcome", "must be a JSON object", "not_an_object")
        return Refused(HTTPStatus.UNPROCESSABLE_ENTITY, "The outcome must be a JSON object", [error])
    if len(document) > _MAX_FIELDS:
        error = FieldError("outcome", "has too many fields", "too_many_fields")
        return Refused(HTTPStatus.UNPROCESSABLE_ENTITY, "The outcome has too many fields", [error])
    given = {name: value for name, value in document.items() if value is not None or name in REQUIRED}
    unknown = [printable_name(name) for name in given if name not in RULES]
    errors = [
        *(FieldError(name, "is not a field of an outcome", "unknown_field") for name in unknown),
        *(wrong for name, rule in RULES.items() if (wrong := _error(name, rule, given, latest))),
    ]
    if errors:
        names = ", ".join(dict.fromkeys(error.field for error in errors[:5]))
        return Refused(HTTPStatus.UNPROCESSABLE_ENTITY, f"The outcome is invalid: {names}", errors)
    return Outcome(
        position=position,
        site=given.get("site", DEFAULT_SITE),
        encounter_id=int(given["encounter_id"]),
        readmitted=given["readmitted"],
        discharge_date=parse_date(given.get(DISCHARGE_DATE, "")),
    )


def _error(name: str, rule: Rule | Date, given: Mapping[str, Any], latest: date) -> FieldError | None:
    if name not in given:
        return FieldError(name, "is required", "required") if name in REQUIRED else None
    value = given[name]
    # Numbers may be texts, as in a CSV. Booleans are not numbers.
    text = str(value) if type(value) is int else value
    if not (isinstance(text, str) and (type(value) is str or name == "encounter_id") and rule.allows(text)):
        return _wrong(name, rule)
    if isinstance(rule, Date) and (day := parse_date(text)) and day > latest:
        return FieldError(name, "must not be in the future", "date_in_future")
    return None


def _wrong(name: str, rule: Rule | Date) -> FieldError:
    match rule:
        case IntegerRange():
            return FieldError(name, f"must be {rule.expected}", "integer_range", {"low": rule.low, "high": rule.high})
        case OneOf():
            return FieldError(name, f"must be {rule.expected}, as text", "one_of", {"values": sorted(rule.values)})
        case Date():
            return FieldError(name, f"must be {rule.expected}", "date")
        case _:
            return FieldError(name, f"must be {rule.expected}", "site_name")


def _store(
    request: proxy.Request, outcomes: Sequence[Outcome], store: Store, *, identified: bool
) -> Mapping[int, Result]:
    if not outcomes:
        return {}
    try:
        return store(outcomes, request.request_id, _sender(request, identified=identified))
    except DatabaseUnavailable as error:
        raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "The database is unavailable; try again later") from error
    except NoTable as error:
        detail = "The database has no table of outcomes yet; run the pipeline once, then send the outcomes again"
        raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, detail) from error


def _sender(request: proxy.Request, *, identified: bool) -> str | None:
    """Who sends the request, as `token:` or `api_key:` and the subject; None if the gateway does not know."""
    if identified:
        actor = Actor.from_gateway(request.gateway)
    else:
        actor = Actor.with_key(str((request.gateway.get("identity") or {}).get("apiKeyId") or ""))
    return f"{actor.kind}:{actor.subject}" if actor.subject else None


def _answer(index: int, read: Outcome | Refused, results: Mapping[int, Result]) -> dict[str, Any]:
    if isinstance(read, Refused):
        problem = {"detail": read.detail, "errors": first_errors(read.errors)}
        return {"index": index, "problem": problem}
    if results[index] == "conflict":
        detail = f"The {request_id.HEADER} of the request {_CONFLICT.message}"
        return {"index": index, "problem": {"detail": detail, "errors": first_errors([_CONFLICT])}}
    return {"index": index, "result": results[index]}


def _as_csv(answers: Sequence[Mapping[str, Any]]) -> str:
    """A line of `CSV_COLUMNS` for each answer. Rows are numbered from 1."""
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(CSV_COLUMNS)
    for answer in answers:
        errors = answer.get("problem", {}).get("errors", [])
        text = "; ".join(f"{error['field']}: {error['message']}" for error in errors)
        # It may start with a field name of the client's.
        writer.writerow([answer["index"] + 1, answer.get("result", ""), spreadsheet.cell(text)])
    return out.getvalue()
