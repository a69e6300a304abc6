"""Many encounters in one request, as JSON or CSV. Each gets a forecast or a problem of its own."""

import csv
import io
import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final

from pydantic_core import to_json

from readmission.domain import spreadsheet
from readmission.domain.contract import CLASSES, TESTS, IntegerRange
from readmission.domain.features import FEATURES
from readmission.domain.file_formats import separator_of, wrong_separator
from readmission.errors import ScorerInvalid
from readmission.http.bodies import CSV, JSON
from readmission.http.problems import FieldError, Refused, first_errors, printable_name, sentence
from readmission.serving.encounters import MAX_FIELDS, PREPARED_RULES, RAW_ONLY, Asked, encounter_of, mixed_formats
from readmission.serving.forecasts import answered_by, forecast
from readmission.serving.model_cache import Served
from readmission.serving.prediction_log import Answered
from readmission.serving.schemas import IGNORED, MAX_ROWS, RAW_REQUIRED, RAW_RULES, to_integer

COLUMNS: Final = (
    "row",
    "readmitted",
    *(f"probability_{name}" for name in CLASSES),
    "early_risk",
    "band",
    "percentile",
    "error",
)
# Of the look-up of the patient's earlier stays; only where there are look-ups, so that other answers stay as they are.
HISTORY_COLUMNS: Final = ("history", "earlier_stays")

_INTEGERS: Final = frozenset(name for name, rule in PREPARED_RULES.items() if isinstance(rule, IntegerRange))

# Per row: the answer to a thousand invalid rows must fit into 6 MB, Lambda's limit.
MAX_ROW_ERRORS: Final = 10

_WEIGHT: Final = re.compile(r"[01](\.[0-9]{0,3})?")

# The document of an encounter, or why it cannot be read.
type Row = dict[str, Any] | Refused


def rows_of_json(document: Any) -> Sequence[Any]:
    """The encounters of a batch document. Raises `Refused` (422) if it is invalid or has more than `MAX_ROWS`."""
    if not isinstance(document, dict) or not isinstance(document.get("encounters"), list):
        error = FieldError("encounters", "must be a list", "not_a_list")
        raise Refused(422, "The batch must be an object with a list of encounters", [error])
    if unknown := [printable_name(name) for name in document if name != "encounters"]:
        errors = [FieldError(name, "is not a field of a batch", "unknown_field") for name in unknown]
        raise Refused(422, "The batch has unknown fields", errors)
    encounters: list[Any] = document["encounters"]
    if len(encounters) > MAX_ROWS:
        raise _too_many()
    return encounters


def rows_of_csv(text: str) -> list[Row]:
    """The encounters of a CSV whose first line names the fields.

    An empty cell means that the field is left out; in a test result, that the test was not made.

    Raises `Refused` (422) if the CSV or its header is invalid, or it has more than `MAX_ROWS` rows.
    """
    lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: list[Row] = []
    try:
        header = next(lines, [])
        # pandas writes its row numbers to a first column without a name.
        unnamed = int(header[:1] == [""])
        _check_header(header[unnamed:])
        # The schema of raw encounters accepts numbers as text.
        integers: Collection[str] = () if not RAW_ONLY.isdisjoint(header) else _INTEGERS.intersection(header)
        for cells in lines:
            if len(rows) == MAX_ROWS and cells:
                raise _too_many()
            if cells:
                rows.append(_row(header, cells, integers, unnamed))
    except csv.Error as error:
        what = f"is not valid CSV: {error} in line {lines.line_num}"
        body_error = FieldError("body", what, "invalid_csv", {"line": lines.line_num})
        raise Refused(422, f"The body {what}", [body_error]) from None
    return rows


def read(encounters: Iterable[Any]) -> list[Asked | Refused]:
    """Each encounter, or why it is invalid."""
    return [_read(encounter) for encounter in encounters]


def predict(served: Served, encounters: Iterable[Asked | Refused]) -> list[dict[str, Any]]:
    """A `schemas.Row` for each encounter."""
    return [{"index": index} | _answer(served, encounter) for index, encounter in enumerate(encounters)]


def answered(
    served: Served, encounters: Sequence[Asked | Refused], answers: Iterable[dict[str, Any]]
) -> list[Answered]:
    """The encounters that got a forecast, and it; `answers` are those of `predict`."""
    found = ((answer["index"], encounters[answer["index"]], answer.get("prediction")) for answer in answers)
    return [
        Answered(index, encounter, served, prediction["probabilities"])
        for index, encounter, prediction in found
        if prediction and isinstance(encounter, Asked)
    ]


def as_json(served: Served, request_id: str, answers: list[dict[str, Any]]) -> bytes:
    """A `schemas.BatchPrediction` as JSON."""
    refused = sum("problem" in answer for answer in answers)
    counts = {"answered": len(answers) - refused, "refused": refused}
    return to_json(answered_by(served, request_id) | counts | {"predictions": answers})


def as_csv(answers: list[dict[str, Any]], *, with_history: bool = False) -> bytes:
    """A CSV with one line of `COLUMNS`, and of `HISTORY_COLUMNS` if asked for, per answer. Rows are numbered from 1."""
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow([*COLUMNS, *(HISTORY_COLUMNS if with_history else ())])
    writer.writerows([*_cells(one), *(_history_cells(one) if with_history else ())] for one in answers)
    return out.getvalue().encode()


def answer_type(accept: str, body_type: str) -> str:
    """JSON or CSV, whichever the Accept header prefers; without a preference, the type of the body."""
    qualities = {JSON: _quality(accept, JSON), CSV: _quality(accept, CSV)}
    if qualities[JSON] == qualities[CSV]:
        return body_type
    return max(qualities, key=qualities.__getitem__)


def _too_many() -> Refused:
    error = FieldError("encounters", f"must be at most {MAX_ROWS}", "too_many_rows", {"most": MAX_ROWS})
    return Refused(422, f"The batch has more than {MAX_ROWS} encounters", [error])


def _check_header(header: list[str]) -> None:
    """Raises `Refused` (422) if every row below this header would be invalid."""
    known = {*PREPARED_RULES, *RAW_RULES, *IGNORED}
    if len(header) < len(FEATURES) and (separator := separator_of(header[:MAX_FIELDS], known)):
        what = wrong_separator(separator)
        params = {"separator": ["TAB" if separator == "\t" else separator]}
        raise Refused(422, f"The CSV {what}", [FieldError("body", what, "wrong_separator", params)])
    if known.isdisjoint(header):
        # The cells are not repeated in the message: if the header is missing, they are a patient's values.
        error = FieldError("body", "does not start with a header of field names", "no_header")
        raise Refused(422, "The first line must contain the field names", [error])
    if len(header) > MAX_FIELDS:
        error = FieldError("body", "has too many columns", "too_many_columns")
        raise Refused(422, "The header has too many columns", [error])
    raw = not RAW_ONLY.isdisjoint(header)
    allowed = {*RAW_RULES, *IGNORED} if raw else {*PREPARED_RULES}
    required = RAW_REQUIRED if raw else tuple(FEATURES)
    unknown = [name for name in header if name not in allowed]
    repeated = [name for name, count in Counter(header).items() if count > 1]
    missing = [name for name in required if name not in header]
    errors = mixed_formats(dict.fromkeys(header)) or [
        *(FieldError(printable_name(name), "is not a column of this format", "unknown_column") for name in unknown),
        *(FieldError(printable_name(name), "appears more than once", "repeated_column") for name in repeated),
        *(FieldError(name, "is a missing column", "missing_column") for name in missing),
    ]
    if errors:
        raise Refused(422, "The header is invalid", errors)


def _row(header: list[str], cells: list[str], integers: Collection[str], first: int) -> Row:
    """The encounter of a row, from the cell with the index `first` on."""
    if len(cells) != len(header):
        what = f"has {len(cells)} cells, but the header has {len(header)}"
        counts = {"cells": len(cells), "columns": len(header)}
        return Refused(422, f"The row {what}", [FieldError("encounter", what, "cell_count", counts)])
    return {
        name: to_integer(cell) if name in integers else cell
        for name, cell in zip(header[first:], cells[first:], strict=True)
        if cell != "" or name in TESTS
    }


def _read(encounter: Any) -> Asked | Refused:
    try:
        return encounter if isinstance(encounter, Refused) else encounter_of(encounter)
    except Refused as refused:
        return refused


def _answer(served: Served, encounter: Asked | Refused) -> dict[str, Any]:
    if isinstance(encounter, Refused):
        return {"problem": {"detail": encounter.detail, "errors": first_errors(encounter.errors, MAX_ROW_ERRORS)}}
    try:
        return {"prediction": forecast(served, encounter)}
    except ScorerInvalid as error:
        return {"problem": {"detail": sentence(str(error)), "errors": []}}


def _cells(answer: dict[str, Any]) -> list[Any]:
    row = answer["index"] + 1
    if problem := answer.get("problem"):
        text = "; ".join(f"{error['field']}: {error['message']}" for error in problem["errors"]) or problem["detail"]
        # It may start with a field name of the client's.
        return [row, *[""] * (len(COLUMNS) - 2), spreadsheet.cell(text)]
    prediction = answer["prediction"]
    probabilities, risk = prediction["probabilities"], prediction["early_risk"]
    return [
        row,
        prediction["readmitted"],
        *(probabilities[name] for name in CLASSES),
        risk["probability"],
        risk["band"],
        risk["percentile"],
        "",
    ]


def _history_cells(answer: dict[str, Any]) -> list[Any]:
    history = answer.get("prediction", {}).get("history") or {}
    return [history.get("status", ""), history.get("earlier_stays", "")]


def _quality(accept: str, media_type: str) -> float:
    """The quality, 0 to 1, that an Accept header gives to this type, by the most specific range that matches."""
    qualities = {}
    for part in accept.split(","):
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        weight = next((one[2:] for one in parameters if one.startswith("q=")), "1")
        qualities[name] = float(weight) if _WEIGHT.fullmatch(weight) else 0.0
    ranges = (media_type, f"{media_type.partition('/')[0]}/*", "*/*")
    return next((qualities[name] for name in ranges if name in qualities), 0.0)
