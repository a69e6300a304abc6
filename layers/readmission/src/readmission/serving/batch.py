"""Many encounters in one request, as JSON or CSV: each gets a forecast or a problem, and none is lost for another."""

import csv
import io
import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final

from pydantic_core import to_json

from readmission.domain.contract import CLASSES, IntegerRange
from readmission.domain.features import FEATURES
from readmission.errors import ScorerInvalid
from readmission.serving.bodies import CSV, JSON
from readmission.serving.encounters import MOST_FIELDS, PREPARED_RULES, RAW_ONLY, fields_of_encounter, mixed
from readmission.serving.forecasts import answered_by, forecast
from readmission.serving.model_cache import Served
from readmission.serving.problems import FieldError, Refused, listed, name_of
from readmission.serving.schemas import IGNORED, MAX_ROWS, RAW_REQUIRED, RAW_RULES, as_whole

COLUMNS: Final = (
    "row",
    "readmitted",
    *(f"probability_{name}" for name in CLASSES),
    "early_risk",
    "band",
    "percentile",
    "error",
)

_WHOLE: Final = frozenset(name for name, rule in PREPARED_RULES.items() if isinstance(rule, IntegerRange))

# Of a row: a thousand rows that are all wrong have to fit into the 6 MB that Lambda answers.
MAX_ROW_ERRORS: Final = 10

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
_WEIGHT: Final = re.compile(r"[01](\.[0-9]{0,3})?")

# An encounter as its document, or why it cannot be read.
type Row = dict[str, Any] | Refused


def rows_of_json(document: Any) -> Sequence[Any]:
    """The encounters of a batch. Raises `Refused` (422) when it is none, or has more than `MAX_ROWS`."""
    if not isinstance(document, dict) or not isinstance(document.get("encounters"), list):
        raise Refused(
            422, "the batch has no list of encounters", [FieldError("encounters", "must be a list", "not_a_list")]
        )
    if unknown := [name_of(name) for name in document if name != "encounters"]:
        errors = [FieldError(name, "is no field of it", "unknown_field") for name in unknown]
        raise Refused(422, "a batch has encounters alone", errors)
    encounters: list[Any] = document["encounters"]
    if len(encounters) > MAX_ROWS:
        raise _too_many()
    return encounters


def rows_of_csv(text: str) -> list[Row]:
    """The encounters of a CSV with the fields' names in its first line; an empty cell is a field that is left out.

    Raises `Refused` (422) when it is no CSV, its header cannot be used, or it has more than `MAX_ROWS`.
    """
    lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: list[Row] = []
    try:
        header = next(lines, [])
        _check_header(header)
        # Of a raw encounter the model reads numbers from texts itself.
        whole: Collection[str] = () if not RAW_ONLY.isdisjoint(header) else _WHOLE.intersection(header)
        for cells in lines:
            if len(rows) == MAX_ROWS and cells:
                raise _too_many()
            if cells:
                rows.append(_row(header, cells, whole))
    except csv.Error as error:
        what = f"is no CSV: {error} in line {lines.line_num}"
        error_of_body = FieldError("body", what, "invalid_csv", {"line": lines.line_num})
        raise Refused(422, f"the body {what}", [error_of_body]) from None
    return rows


def predict(served: Served, encounters: Iterable[Any]) -> list[dict[str, Any]]:
    """What `schemas.Row` describes, for each of the encounters."""
    return [{"index": index} | _answer(served, encounter) for index, encounter in enumerate(encounters)]


def as_json(served: Served, request_id: str, answers: list[dict[str, Any]]) -> bytes:
    """What `schemas.BatchPrediction` describes."""
    refused = sum("problem" in answer for answer in answers)
    counts = {"answered": len(answers) - refused, "refused": refused}
    return to_json(answered_by(served, request_id) | counts | {"predictions": answers})


def as_csv(answers: list[dict[str, Any]]) -> bytes:
    """A line of `COLUMNS` for each answer; rows count from 1, as the lines below the header do."""
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    writer.writerows(map(_cells, answers))
    return out.getvalue().encode()


def answer_type(accept: str, body_type: str) -> str:
    """JSON or CSV: what the header Accept prefers of the two; without a preference, what the body is."""
    shares = {JSON: _quality(accept, JSON), CSV: _quality(accept, CSV)}
    if shares[JSON] == shares[CSV]:
        return body_type
    return max(shares, key=shares.__getitem__)


def _too_many() -> Refused:
    message = f"must be at most {MAX_ROWS} a request"
    return Refused(
        422, f"the encounters {message}", [FieldError("encounters", message, "too_many_rows", {"most": MAX_ROWS})]
    )


def _check_header(header: list[str]) -> None:
    """Raises `Refused` (422) when no row below this header could be used."""
    if {*PREPARED_RULES, *RAW_RULES, *IGNORED}.isdisjoint(header):
        # Its cells are not repeated: without a header, the first line is a patient.
        error = FieldError("body", "has no header of field names", "no_header")
        raise Refused(422, "the first line must name the fields", [error])
    if len(header) > MOST_FIELDS:
        error = FieldError("body", "has too many columns", "too_many_columns")
        raise Refused(422, "the header has too many columns", [error])
    raw = not RAW_ONLY.isdisjoint(header)
    allowed = {*RAW_RULES, *IGNORED} if raw else {*PREPARED_RULES}
    required = RAW_REQUIRED if raw else tuple(FEATURES)
    errors = mixed(dict.fromkeys(header)) or [
        *(
            FieldError(name_of(name), "is no column of this form", "unknown_column")
            for name in header
            if name not in allowed
        ),
        *(
            FieldError(name_of(name), "is a column twice", "repeated_column")
            for name, times in Counter(header).items()
            if times > 1
        ),
        *(FieldError(name, "is a column that is missing", "missing_column") for name in required if name not in header),
    ]
    if errors:
        raise Refused(422, "the header cannot be used", errors)


def _row(header: list[str], cells: list[str], whole: Collection[str]) -> Row:
    if len(cells) != len(header):
        wrong = f"has {len(cells)} cells, and the header {len(header)}"
        counts = {"cells": len(cells), "columns": len(header)}
        return Refused(422, f"the row {wrong}", [FieldError("encounter", wrong, "cell_count", counts)])
    return {
        name: as_whole(cell) if name in whole else cell for name, cell in zip(header, cells, strict=True) if cell != ""
    }


def _answer(served: Served, encounter: Any) -> dict[str, Any]:
    try:
        if isinstance(encounter, Refused):
            raise encounter
        return {"prediction": forecast(served, fields_of_encounter(encounter))}
    except Refused as refused:
        return {"problem": {"detail": refused.detail, "errors": listed(refused.errors, MAX_ROW_ERRORS)}}
    except ScorerInvalid as error:
        return {"problem": {"detail": str(error), "errors": []}}


def _cells(answer: dict[str, Any]) -> list[Any]:
    row = answer["index"] + 1
    if problem := answer.get("problem"):
        told = "; ".join(f"{error['field']}: {error['message']}" for error in problem["errors"]) or problem["detail"]
        # Not to be taken for a formula by a spreadsheet: the name of an unknown field is the client's.
        return [row, *[""] * (len(COLUMNS) - 2), f"'{told}" if told.startswith(_FORMULA) else told]
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


def _quality(accept: str, media_type: str) -> float:
    """How much an Accept header wants this type, 0 to 1: by its most specific part that matches."""
    wanted = {}
    for part in accept.split(","):
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        weight = next((one[2:] for one in parameters if one.startswith("q=")), "1")
        wanted[name] = float(weight) if _WEIGHT.fullmatch(weight) else 0.0
    ranges = (media_type, f"{media_type.partition('/')[0]}/*", "*/*")
    return next((wanted[name] for name in ranges if name in wanted), 0.0)
