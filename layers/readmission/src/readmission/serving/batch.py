"""Many encounters in one request, as JSON or CSV. Each gets a forecast or a problem of its own."""

import csv
import io
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, Final

from pydantic_core import to_json

from readmission.domain import spreadsheet
from readmission.domain.contract import CLASSES, TESTS, IntegerRange
from readmission.domain.features import FEATURES
from readmission.errors import ScorerInvalid
from readmission.http import csv_rows
from readmission.http.bodies import MAX_ROWS
from readmission.http.problems import FieldError, Refused, first_errors, printable_name, sentence
from readmission.serving.challenger import Answer
from readmission.serving.encounters import MAX_FIELDS, PREPARED_RULES, RAW_ONLY, Asked, encounter_of, mixed_formats
from readmission.serving.forecasts import answered_by
from readmission.serving.model_cache import Served
from readmission.serving.prediction_log import Answered
from readmission.serving.schemas import IGNORED, RAW_REQUIRED, RAW_RULES, to_integer

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

# The document of an encounter, or why it cannot be read.
type Row = dict[str, Any] | Refused
# The answer to each of some encounters, or why there is none.
type Answers = Callable[[Served, Sequence[Asked]], Iterable[Answer | ScorerInvalid]]


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

    return csv_rows.read(text, begin, _too_many)


def begin(header: list[str]) -> Callable[[list[str]], Row]:
    """What makes an encounter of the cells of each row below this header. Raises `Refused` (422) if it is invalid."""
    # pandas writes its row numbers to a first column without a name.
    unnamed = int(header[:1] == [""])
    check_header(header[unnamed:])
    # The schema of raw encounters accepts numbers as text.
    integers: Collection[str] = () if not RAW_ONLY.isdisjoint(header) else _INTEGERS.intersection(header)
    return lambda cells: _row(header, cells, integers, unnamed)


def read(encounters: Iterable[Any]) -> list[Asked | Refused]:
    """Each encounter, or why it is invalid."""
    return [_read(encounter) for encounter in encounters]


def predict(
    served: Served, encounters: Iterable[Asked | Refused], answers: Answers
) -> tuple[list[dict[str, Any]], list[Answered]]:
    """A `schemas.Row` for each encounter, and those that got a forecast."""
    found = [*encounters]
    valid = [one for one in found if isinstance(one, Asked)]
    told = iter(answers(served, valid))
    rows: list[dict[str, Any]] = []
    answered: list[Answered] = []
    for index, encounter in enumerate(found):
        if isinstance(encounter, Refused):
            rows.append({"index": index, "problem": refusal(encounter)})
            continue
        answer = next(told)
        if isinstance(answer, ScorerInvalid):
            rows.append({"index": index, "problem": {"detail": sentence(str(answer)), "errors": []}})
            continue
        answered.append(answer.as_logged(index, encounter))
        # The version that is named once for the batch is the served one.
        own = {} if answer.served is served else {"model_version": answer.served.version.number}
        rows.append({"index": index, "prediction": answer.forecast | own})
    return rows, answered


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


def _too_many() -> Refused:
    error = FieldError("encounters", f"must be at most {MAX_ROWS}", "too_many_rows", {"most": MAX_ROWS})
    return Refused(422, f"The batch has more than {MAX_ROWS} encounters", [error])


def check_header(header: list[str]) -> None:
    """Raises `Refused` (422) if every row below this header would be invalid."""
    csv_rows.check_names(header, {*PREPARED_RULES, *RAW_RULES, *IGNORED}, least=len(FEATURES), most=MAX_FIELDS)
    raw = not RAW_ONLY.isdisjoint(header)
    allowed = {*RAW_RULES, *IGNORED} if raw else {*PREPARED_RULES}
    errors = mixed_formats(dict.fromkeys(header)) or csv_rows.wrong_columns(
        header, allowed, RAW_REQUIRED if raw else tuple(FEATURES)
    )
    if errors:
        raise csv_rows.invalid_header(errors)


def _row(header: list[str], cells: list[str], integers: Collection[str], first: int) -> Row:
    """The encounter of a row, from the cell with the index `first` on."""
    if len(cells) != len(header):
        return csv_rows.wrong_length(cells, header, "encounter")
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


def refusal(encounter: Refused) -> dict[str, Any]:
    """A `schemas.RowProblem`."""
    return {"detail": encounter.detail, "errors": first_errors(encounter.errors, MAX_ROW_ERRORS)}


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
